/**
 * The command `querypool` as the program of this process.
 *
 * @internal
 */
// By its own path: the package's index also loads clients of other services, a third of the time to start.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect } from "effect"
import { exitCode } from "./CliFailure.ts"
import { consoleAbove, leave } from "./LiveLines.ts"
import { codeOf, program, say } from "./Program.ts"
import { runMain, stop } from "./Signals.ts"
import { underWay } from "./UnderWay.ts"

/** Prints above what is shown while a run goes on. */
const printed = Effect.provideService(Console.Console, consoleAbove)

/** Why standard output takes no more, if it does not. */
let unwritable: NodeJS.ErrnoException | undefined

/** Whoever read our output may have left, as `head` does, which is no failure. */
const isFull = (): boolean => unwritable !== undefined && unwritable.code !== "EPIPE"

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (unwritable !== undefined) return
  unwritable = error
  if (isFull()) {
    Effect.runSync(printed(say(`standard output cannot be written: ${error.message}`)))
    process.exitCode = exitCode.failed
  }
  stop()
})

const sayWhatIsLeft = (): void => {
  leave()
  const left = underWay()
  if (left === undefined) return
  Effect.runSync(printed(say(`left at once. The server was not seen to stop, and may still run: ${left}`)))
}

runMain(sayWhatIsLeft)(printed(Effect.provide(program, NodeServices.layer)), {
  disableErrorReporting: true,
  teardown: (exit, onExit) => onExit(isFull() ? exitCode.failed : codeOf(exit))
})
