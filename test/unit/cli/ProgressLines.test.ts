import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { CliOutput } from "effect/cli"
import { stripVTControlCharacters } from "node:util"
import { elapsed, roughly } from "../../../src/cli/Amounts.ts"
import { inOneLine, lines, ofRun } from "../../../src/cli/ProgressLines.ts"
import type { Whole } from "../../../src/cli/ProgressLines.ts"
import { ofTargets } from "../../../src/cli/ProgressOfTargets.ts"
import { mannerFor } from "../../../src/cli/RunProgress.ts"
import { collector } from "../../../src/query/Progress.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Names as nobody gives them: wide, joined, turned around, and acting on the terminal. */
const pieces = [
  "a",
  "orders",
  "/",
  "顧客",
  "👨‍👩‍👧‍👦",
  "🇩🇪",
  "❤️",
  "é",
  "\u001B[2J",
  "\n",
  "\r",
  "\u0007",
  "\u202E",
  "\t",
  "…",
  " "
]
const Name = Schema.Array(Schema.Literals(pieces)).check(Schema.isMaxLength(30))

const Shown = Schema.Struct({
  underWay: Schema.Array(
    Schema.Struct({
      name: Name,
      rows: integer(0, 2_000_000_000),
      millis: integer(0, 10_000_000),
      attempt: integer(1, 3)
    })
  ).check(Schema.isMaxLength(20)),
  ended: integer(0, 1_000),
  left: integer(0, 1_000),
  failed: integer(0, 300),
  skipped: integer(0, 300),
  remaining: Schema.UndefinedOr(integer(0, 100_000_000)),
  width: integer(1, 220),
  height: integer(1, 60),
  color: Schema.Boolean
})

const wholeOf = ({ ended, left, remaining, underWay, ...shown }: typeof Shown.Type): Whole => {
  const failed = Math.min(shown.failed, ended)
  const skipped = Math.min(shown.skipped, ended - failed)
  const progress = {
    total: ended + underWay.length + left,
    waiting: left,
    running: underWay.map(({ attempt, millis, name, rows }, id) => {
      return { id, name: name.join(""), worker: 0, attempt, rows, ranMillis: millis }
    }),
    retrying: [],
    succeeded: ended - failed - skipped,
    failed,
    cancelled: 0,
    skipped,
    elapsedMillis: 1_000 * ended,
    remainingMillis: remaining,
    isOver: false
  }
  return ofRun(progress)
}

const filled = (line: string): number => [...line].filter((cell) => cell === "█").length

const on = (name: string, ended: number, isRunning: boolean) => {
  const collected = collector({ expected: () => 10_000 })
  collected.add({ _tag: "RunStarted", at: 0, concurrency: 1, queries: 3 })
  for (let id = 0; id < 3; id++) collected.add({ _tag: "Submitted", at: 0, id, name })
  for (let id = 0; id < ended; id++) {
    collected.add({ _tag: "Ended", at: 0, id, name, outcome: id === 0 ? "Failed" : "Succeeded", rows: 0 })
  }
  if (isRunning) collected.add({ _tag: "Started", at: 1_000, id: ended, name, worker: 0, attempt: 1 })
  return { name, begunAt: 0, collector: collected, counts: undefined }
}

describe("the lines of a run's progress", () => {
  it.effect.prop(
    "are narrower than the screen, and no more than a third of it, whatever queries are called",
    [Shown],
    ([shown]) =>
      Effect.sync(() => {
        const drawn = lines(wholeOf(shown), shown)
        assert.isAtMost(drawn.length, 1 + Math.min(10, Math.floor(shown.height / 3)))
        for (const line of drawn) {
          const text = stripVTControlCharacters(line)
          assert.notMatch(text, /[\p{Cc}\u202E]/u)
          assert.isAtMost(CliOutput.displayWidth(text), Math.max(1, shown.width - 1))
          if (!shown.color) assert.strictEqual(text, line)
        }
        assert.notMatch(inOneLine(wholeOf(shown)), /[\p{Cc}\u202E]/u)
      }),
    { arbitrary: { runs: 1_500, seed: 20_260_206 } }
  )

  it.effect.prop(
    "name the longest running, and count those that they do not name",
    [Shown],
    ([shown]) =>
      Effect.sync(() => {
        const whole = wholeOf({ ...shown, width: 200 })
        const drawn = lines(whole, { ...shown, width: 200 })
          .slice(0, -1)
          .map(stripVTControlCharacters)
        const room = Math.min(10, Math.floor(shown.height / 3))
        if (room === 0) return assert.lengthOf(drawn, 0)
        const others = /^ {2}… and (\d+) more$/.exec(drawn.at(-1) ?? "")?.[1]
        const named = others === undefined ? drawn.length : drawn.length - 1
        assert.strictEqual(named + Number(others ?? 0), whole.underWay.length)
        for (const [index, { time }] of whole.underWay.slice(0, named).entries()) assert.include(drawn[index], time)
      }),
    { arbitrary: { runs: 500, seed: 20_260_207 } }
  )

  it.effect.prop(
    "have a bar that never goes back, at any width",
    [Shown],
    ([shown]) =>
      Effect.sync(() => {
        const total = shown.ended + shown.left
        let before = 0
        for (let ended = 0; ended <= total; ended += Math.max(1, Math.floor(total / 20))) {
          const now = { ...shown, underWay: [], ended, left: total - ended, color: false }
          const line = lines(wholeOf(now), now).at(-1) ?? ""
          // A very narrow screen has none, beside a count of many digits.
          if (!/[█░]/.test(line)) continue
          const cells = filled(line)
          assert.isAtLeast(cells, before)
          before = cells
        }
      }),
    { arbitrary: { runs: 300, seed: 20_260_208 } }
  )

  it("give way to a narrow screen by what is missed least", () => {
    const { add, progress } = collector({ expected: () => 60_000 })
    add({ _tag: "RunStarted", at: 0, concurrency: 2, queries: 4 })
    for (const [id, name] of ["import/orders", "daily/revenue", "c", "d"].entries()) {
      add({ _tag: "Submitted", at: 0, id, name })
    }
    add({ _tag: "Started", at: 0, id: 0, name: "import/orders", worker: 0, attempt: 1 })
    add({ _tag: "Started", at: 2_000, id: 1, name: "daily/revenue", worker: 1, attempt: 2 })
    add({ _tag: "Progressed", at: 3_000, id: 0, name: "import/orders", rows: 1_204_332 })
    add({ _tag: "Retrying", at: 3_000, id: 2, name: "c", attempt: 1, error: "", delayMillis: 9_000 })
    add({ _tag: "Ended", at: 3_000, id: 3, name: "d", outcome: "Failed", rows: 0 })
    const shown = (width: number) => lines(ofRun(progress(10_000)), { width, height: 24, color: false })
    assert.deepStrictEqual(shown(80), [
      "  import/orders  1,204,332 rows    10.0 s",
      "  daily/revenue       attempt 2     8.0 s",
      "  c                   attempt 2  in 2.0 s",
      "████░░░░░░░░░░░░░░░  1 of 4  1 failed  2 running  10.0 s  about 2 min left"
    ])
    assert.deepStrictEqual(shown(40), [
      "  import/orders    10.0 s",
      "  daily/revenue     8.0 s",
      "  c              in 2.0 s",
      "██░░░░░░░  1 of 4  1 failed"
    ])
    assert.deepStrictEqual(shown(12), ["  import/o…", "  daily/re…", "  c", "1 of 4"])
    assert.deepStrictEqual(shown(2).at(-1), "…")
    assert.strictEqual(
      inOneLine(ofRun(progress(10_000))),
      "1 of 4 queries done after 10.0 s, 1 failed, 2 running (import/orders for 10.0 s, 1,204,332 rows), about 2 min left"
    )
  })

  it("are of targets one for each that is under way", () => {
    const runs = [
      { name: "done", begunAt: 0, collector: undefined, counts: { ended: 3, failed: 1, skipped: 2 } },
      on("berlin", 2, true),
      { name: "new", begunAt: 1_500, collector: undefined, counts: undefined }
    ]
    const whole = ofTargets(runs, { targets: 4, queries: 3, total: undefined }, 2_000, 0)
    assert.deepStrictEqual(lines(whole, { width: 80, height: 24, color: false }), [
      "  berlin  1 failed, 1 running, 2 of 3  2.0 s",
      "  new                      connecting  0.5 s",
      "███████░░░░░░░░░░░░  5 of 12  2 failed  2 skipped  1 running  2.0 s"
    ])
    const begun = [on("berlin", 1, true), on("paris", 0, true)]
    assert.strictEqual(ofTargets(begun, { targets: 2, queries: 3, total: undefined }, 2_000, 0).remainingMillis, 29_000)
    assert.isUndefined(ofTargets(begun, { targets: 2, queries: 3, total: 1 }, 2_000, 0).remainingMillis)
  })
})

describe("how progress is shown", () => {
  const terminal = { width: 80 }
  const file = { width: undefined }
  const usual = { env: { TERM: "xterm-256color" }, json: false, quiet: false, stdout: terminal, stderr: terminal }

  it("is a bar on a terminal, wherever the results go", () => {
    assert.strictEqual(mannerFor(usual), "bar")
    assert.strictEqual(mannerFor({ ...usual, stdout: file }), "bar")
    assert.strictEqual(mannerFor({ ...usual, stdout: file, json: true }), "bar")
    assert.strictEqual(mannerFor({ ...usual, env: { CI: "false", NO_COLOR: "1" } }), "bar")
  })

  it("is a line now and then where nothing can be drawn again", () => {
    assert.strictEqual(mannerFor({ ...usual, stderr: file }), "lines")
    assert.strictEqual(mannerFor({ ...usual, env: { TERM: "dumb" } }), "lines")
    assert.strictEqual(mannerFor({ ...usual, env: { CI: "true" } }), "lines")
  })

  it("is nothing at all where it was not wanted, or would be in the middle of a document", () => {
    assert.strictEqual(mannerFor({ ...usual, quiet: true }), "none")
    assert.strictEqual(mannerFor({ ...usual, stderr: file, quiet: true }), "none")
    assert.strictEqual(mannerFor({ ...usual, json: true }), "none")
  })
})

describe("times of what is under way", () => {
  it("are as precise as an eye can follow", () => {
    const shown = [0, 49, 12_345, 59_999, 60_000, 192_000, 3_599_999, 7_380_000].map(elapsed)
    assert.deepStrictEqual(shown, [
      "0.0 s",
      "0.0 s",
      "12.3 s",
      "59.9 s",
      "1 min 0 s",
      "3 min 12 s",
      "59 min 59 s",
      "2 h 3 min"
    ])
  })

  it("are rounded up where they are guessed", () => {
    const shown = [0, 900, 9_100, 10_001, 52_000, 56_000, 61_000, 3_540_000, 3_541_000, 7_300_000].map(roughly)
    assert.deepStrictEqual(shown, [
      "1 s",
      "1 s",
      "10 s",
      "15 s",
      "55 s",
      "1 min",
      "2 min",
      "59 min",
      "1 h",
      "2 h 10 min"
    ])
  })
})
