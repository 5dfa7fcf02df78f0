/**
 * What signals do to a command.
 *
 *     running --SIGINT, SIGTERM, SIGHUP--> stopping --the server has stopped--> ended, exit code 130
 *                                             |
 *                                             +--SIGINT--> left at once, exit code 130
 *
 *     ended --its output is read--> gone
 *       |
 *       +--SIGINT, SIGTERM, SIGHUP--> gone at once, exit code 130
 *
 * - The first asks: what runs is cancelled on the server, and the command ends when that has stopped.
 * - A second Ctrl-C insists: the command says what it left behind, and ends without waiting for a server that may never
 *   answer.
 * - A second SIGTERM or SIGHUP changes nothing: systemd sends both at once, and a terminal that closes does so twice.
 * - The process ends when all of its output has been read, whatever its exit code.
 *
 * @internal
 */
import { Effect, Runtime } from "effect"
import { exitCode } from "./CliFailure.ts"

/** npm hands the Ctrl-C of a terminal on to a child that has had it already: so soon after the first it is the same. */
const relayMillis = 100

/**
 * Interrupts the command, for reasons of its own. Nothing happens before it runs, or when it has ended.
 *
 * @internal
 */
export let stop = (): void => {}

let isUnread = false

/**
 * Comes back when all of standard output has been taken. Where that cannot be written, the command is stopped meanwhile.
 *
 * @internal
 */
export const drained: Effect.Effect<void> = Effect.callback((resume) => {
  isUnread = true
  process.stdout.write("", (error) => {
    isUnread = false
    if (error === undefined || error === null) resume(Effect.void)
  })
})

/**
 * Runs the command as the program of this process. `insisted` is called before the process ends by a second Ctrl-C.
 *
 * @internal
 */
export const runMain = (insisted: () => void) =>
  Runtime.makeRunMain(({ fiber, teardown }) => {
    let isEnded = false
    let signalledAt: number | undefined

    stop = () => {
      fiber.interruptUnsafe(fiber.id)
    }
    const onSignal = (signal: NodeJS.Signals): void => {
      const isSame = signalledAt !== undefined && performance.now() - signalledAt < relayMillis
      // Whoever reads the output may never do so, and nothing runs any more.
      if (isEnded && !isSame) process.exit(exitCode.interrupted)
      if (signalledAt !== undefined && signal === "SIGINT" && !isSame) {
        insisted()
        process.exit(exitCode.interrupted)
      }
      signalledAt ??= performance.now()
      stop()
    }

    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const
    // Without them the process would end at once, and leave its queries running on the server.
    for (const signal of signals) process.on(signal, onSignal)
    fiber.addObserver((exit) => {
      isEnded = true
      teardown(exit, (code) => {
        process.exitCode = code
        // What a pipe has not taken yet would be lost by `process.exit`: half a document. Or the command was waiting for
        // that already, and was told to wait no longer.
        void Promise.all((isUnread ? [] : [process.stdout, process.stderr]).map(flush)).then(() => {
          for (const signal of signals) process.off(signal, onSignal)
          // By itself Node would first take its memory apart, for 10 ms in which a kill would look like a failed run.
          process.exit()
        })
      })
    })
  })

/** Waits until all of it is written, or cannot be. */
const flush = (stream: NodeJS.WriteStream): Promise<unknown> => new Promise((done) => stream.write("", done))
