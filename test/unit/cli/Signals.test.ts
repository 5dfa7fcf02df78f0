import { Effect, Exit, Latch } from "effect"
import { afterEach, assert, describe, it, vi } from "vitest"
import { drained, runMain } from "../../../src/cli/Signals.ts"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** A command that runs until it is interrupted, and then until its server has stopped. */
const begin = (body: Effect.Effect<void> = Effect.never) => {
  const said: Array<string> = []
  const now = vi.spyOn(performance, "now").mockReturnValue(0)
  let isEnded = false
  const gone = Promise.withResolvers<void>()
  vi.spyOn(process, "exit").mockImplementation((code) => {
    said.push(`gone with ${String(code ?? process.exitCode)}`)
    if (isEnded) gone.resolve()
    return undefined as never
  })
  // Of this process others listen to signals, too.
  const before = new Map(signals.map((signal) => [signal, new Set(process.listeners(signal))]))
  const stopped = Latch.makeUnsafe()
  runMain(() => void said.push("said what is left"))(
    Effect.onInterrupt(body, () =>
      Effect.andThen(
        Effect.sync(() => said.push("interrupted")),
        stopped.await
      )
    ),
    {
      disableErrorReporting: true,
      teardown: (exit, onExit) => {
        said.push(Exit.hasInterrupts(exit) ? "ended, interrupted" : "ended")
        isEnded = true
        onExit(130)
      }
    }
  )
  return {
    said,
    /** At so many milliseconds, the signal arrives. */
    receive: (signal: (typeof signals)[number], at: number): void => {
      now.mockReturnValue(at)
      for (const listener of process.listeners(signal)) if (before.get(signal)?.has(listener) !== true) listener(signal)
    },
    /** The server has stopped. */
    stop: () => stopped.openUnsafe(),
    gone: gone.promise
  }
}

afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

describe("a signal", () => {
  it("asks the first time, and a second Ctrl-C leaves at once, unless it is the same that npm hands on", async () => {
    const { gone, receive, said, stop } = begin()
    receive("SIGINT", 1_000)
    receive("SIGINT", 1_099)
    assert.deepStrictEqual(said, ["interrupted"])
    receive("SIGINT", 1_100)
    assert.deepStrictEqual(said, ["interrupted", "said what is left", "gone with 130"])
    stop()
    await gone
  })

  it("asks no more than the first did, where it is SIGTERM or SIGHUP", async () => {
    const { gone, receive, said, stop } = begin()
    receive("SIGTERM", 1_000)
    receive("SIGTERM", 2_000)
    receive("SIGHUP", 3_000)
    assert.deepStrictEqual(said, ["interrupted"])
    stop()
    await gone
    assert.deepStrictEqual(said, ["interrupted", "ended, interrupted", "gone with 130"])
  })

  it("leaves at once where only the output waits to be read", async () => {
    const unread = vi.spyOn(process.stdout, "write").mockReturnValue(false)
    const { gone, receive, said, stop } = begin()
    receive("SIGTERM", 1_000)
    stop()
    await vi.waitUntil(() => unread.mock.calls.length > 0)
    receive("SIGHUP", 1_050)
    assert.deepStrictEqual(said, ["interrupted", "ended, interrupted"])
    receive("SIGHUP", 1_200)
    await gone
    assert.deepStrictEqual(said.slice(2), ["gone with 130"])
    const read: unknown = unread.mock.lastCall?.[1]
    if (typeof read === "function") read()
    await vi.waitUntil(() => said.length === 4)
  })

  it("leaves by the first where the command waits for its output to be read, with nothing else left to do", async () => {
    const unread = vi.spyOn(process.stdout, "write").mockReturnValue(false)
    const { gone, receive, said, stop } = begin(drained)
    await vi.waitUntil(() => unread.mock.calls.length > 0)
    receive("SIGTERM", 1_000)
    stop()
    await gone
    assert.deepStrictEqual(said, ["interrupted", "ended, interrupted", "gone with 130"])
    assert.strictEqual(unread.mock.calls.length, 1)
    const read: unknown = unread.mock.lastCall?.[1]
    if (typeof read === "function") read()
  })
})
