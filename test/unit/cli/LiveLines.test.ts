import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
// Here, as it opens the standard output of the process, and not in a test.
import "log-update"
import { Writable } from "node:stream"
import { setImmediate as nextTurn } from "node:timers/promises"
import * as LiveLines from "../../../src/cli/LiveLines.ts"
import { TerminalModel } from "../../support/TerminalModel.ts"

/** A terminal whose screen can be looked at. */
class FakeTerminal extends Writable {
  readonly model: TerminalModel
  private readonly rewraps: boolean

  constructor(columns: number, rows: number, options: { readonly joined?: boolean; readonly rewraps?: boolean } = {}) {
    super({
      decodeStrings: false,
      write: (chunk: string | Uint8Array, _encoding, done) => {
        this.model.write(
          typeof chunk === "string"
            ? chunk.replaceAll("\n", "\r\n")
            : Buffer.from(chunk).toString().replaceAll("\n", "\r\n")
        )
        done()
      }
    })
    this.model = new TerminalModel(columns, rows, options.joined)
    this.rewraps = options.rewraps ?? true
  }

  getWindowSize(): [number, number] {
    return [this.model.columns, this.model.rows]
  }

  resize(columns: number): void {
    this.model.resize(columns, this.model.rows, this.rewraps)
  }
}

const begin = (terminal: FakeTerminal, env: Readonly<Record<string, string>> = {}) =>
  Effect.acquireRelease(LiveLines.make(terminal, env), (live) => Effect.sync(() => live.end()))

const print = (terminal: FakeTerminal, line: string) => LiveLines.above(() => terminal.write(`${line}\n`))

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Step = Schema.Union([
  Schema.Struct({ does: Schema.Literal("show"), lines: Schema.Array(integer(0, 30)).check(Schema.isMaxLength(5)) }),
  Schema.Struct({ does: Schema.Literal("print"), lines: integer(1, 4) }),
  Schema.Struct({ does: Schema.Literal("rest") }),
  Schema.Struct({ does: Schema.Literal("resize"), columns: integer(4, 40) })
])

describe("lines at the bottom of a terminal", () => {
  it.effect.prop(
    "leave what is printed above them as it was, whatever comes between, and nothing of themselves",
    [Schema.Array(Step).check(Schema.isMinLength(3), Schema.isMaxLength(30)), Schema.Boolean],
    ([steps, rewraps]) =>
      Effect.gen(function* () {
        const terminal = new FakeTerminal(40, 60, { rewraps })
        const live = yield* begin(terminal, rewraps ? {} : { STY: "a screen" })
        const printed: Array<string> = []
        let shown: ReadonlyArray<string> = []
        let isStale = false
        for (const step of steps) {
          if (step.does === "show") {
            // No line is as wide as the terminal.
            shown = step.lines.map(
              (length, index) => `${"x".repeat(Math.min(length, terminal.model.columns - 2))}${index}`
            )
            live.show(shown)
            isStale = false
          } else if (step.does === "print") {
            for (let line = 0; line < step.lines; line++) {
              printed.push(`p${printed.length}`)
              print(terminal, `p${printed.length - 1}`)
            }
          } else if (step.does === "resize") {
            terminal.resize(step.columns)
            // What stands there is too long, until the next is shown.
            isStale = true
          } else {
            yield* Effect.promise(() => nextTurn())
            if (!isStale) assert.deepStrictEqual(terminal.model.everything, [...printed, ...shown])
          }
        }
        live.end()
        assert.deepStrictEqual(terminal.model.everything, printed)
        assert.isTrue(terminal.model.cursorShown)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 500, seed: 20_260_205 } }
  )

  it.effect("take no more rows than they are, where the terminal takes them for wider than they are", () =>
    Effect.gen(function* () {
      const family = "👨‍👩‍👧‍👦"
      const terminal = new FakeTerminal(20, 10, { joined: false })
      const live = yield* begin(terminal)
      print(terminal, "above")
      for (let frame = 0; frame < 5; frame++) {
        live.show([`${frame} ${family.repeat(8)}`, `bar ${frame}`])
        assert.lengthOf(terminal.model.screen, 3)
        assert.deepInclude(terminal.model.screen, "above")
        assert.deepInclude(terminal.model.screen, `bar ${frame}`)
      }
      live.end()
      assert.deepStrictEqual(terminal.model.everything, ["above"])
      // What is printed afterwards is wrapped again.
      terminal.write("y".repeat(30))
      assert.deepStrictEqual(terminal.model.everything, ["above", "y".repeat(20), "y".repeat(10)])
    }).pipe(Effect.scoped)
  )

  it.effect("come back once, after all that was printed in one go", () =>
    Effect.gen(function* () {
      const terminal = new FakeTerminal(40, 10)
      const live = yield* begin(terminal)
      live.show(["bar"])
      let written = 0
      const write = terminal.write.bind(terminal)
      for (let line = 0; line < 1_000; line++) {
        LiveLines.above(() => {
          written++
          write(`${line}\n`)
        })
      }
      assert.notInclude(terminal.model.screen, "bar")
      yield* Effect.promise(() => nextTurn())
      assert.deepStrictEqual(terminal.model.screen.slice(-2), ["999", "bar"])
      assert.strictEqual(written, 1_000)
    }).pipe(Effect.scoped)
  )

  it.effect("hide the cursor from the first drawing to their end, and show it when the process is stopped", () =>
    Effect.gen(function* () {
      const terminal = new FakeTerminal(40, 10)
      const live = yield* begin(terminal)
      assert.isTrue(terminal.model.cursorShown)
      live.show(["bar"])
      assert.isFalse(terminal.model.cursorShown)
      LiveLines.leave()
      assert.isTrue(terminal.model.cursorShown)
      assert.deepStrictEqual(terminal.model.everything, [])
      live.show(["late"])
      print(terminal, "more")
      yield* Effect.promise(() => nextTurn())
      assert.deepStrictEqual(terminal.model.everything, ["more"])
    }).pipe(Effect.scoped)
  )

  it.effect("end when the terminal cannot be written to, and nothing else does", () =>
    Effect.gen(function* () {
      const terminal = new FakeTerminal(40, 10)
      const live = yield* begin(terminal)
      live.show(["bar"])
      const listeners = process.listenerCount("exit")
      terminal.destroy(new Error("EIO"))
      yield* Effect.promise(() => nextTurn())
      assert.strictEqual(process.listenerCount("exit"), listeners - 1)
      live.show(["late"])
      assert.strictEqual(
        LiveLines.above(() => "done"),
        "done"
      )
    }).pipe(Effect.scoped)
  )

  it.effect("leave no listener of the process behind", () =>
    Effect.gen(function* () {
      const events = ["exit", "SIGTSTP", "SIGCONT"]
      const before = events.map((event) => process.listenerCount(event))
      const terminal = new FakeTerminal(40, 10)
      const live = yield* begin(terminal)
      live.show(["bar"])
      assert.notDeepEqual(
        events.map((event) => process.listenerCount(event)),
        before
      )
      live.end()
      assert.deepStrictEqual(
        events.map((event) => process.listenerCount(event)),
        before
      )
    }).pipe(Effect.scoped)
  )

  it("let a console print above them that is the process's own in all else", () => {
    const { console } = globalThis
    const { log } = console
    const said: Array<unknown> = []
    Object.assign(console, { log: (...args: ReadonlyArray<unknown>) => void said.push(...args) })
    try {
      LiveLines.consoleAbove.log("a", 1)
    } finally {
      Object.assign(console, { log })
    }
    assert.deepStrictEqual(said, ["a", 1])
  })
})
