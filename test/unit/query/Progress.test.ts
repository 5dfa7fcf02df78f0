import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Progress from "../../../src/query/Progress.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** What happens next in a made-up run: to which of its queries, what, and how much later. */
const Step = Schema.Struct({
  query: integer(0, 11),
  what: Schema.Literals(["start", "start", "progress", "retry", "succeed", "fail", "cancel", "skip"]),
  after: integer(0, 500),
  rows: integer(0, 1_000)
})
const Script = Schema.Struct({
  queries: integer(0, 12),
  steps: Schema.Array(Step).check(Schema.isMinLength(10), Schema.isMaxLength(60))
})

type State = "waiting" | "running" | "resting" | "ended"

/** The events of a run in which the steps happen, as far as each can. */
const eventsOf = ({ queries, steps }: typeof Script.Type): ReadonlyArray<QueryEvent> => {
  const events: Array<QueryEvent> = [{ _tag: "RunStarted", at: 1_000, concurrency: 3, queries }]
  const states: Array<State> = []
  const attempts: Array<number> = []
  for (let id = 0; id < queries; id++) {
    events.push({ _tag: "Submitted", at: 1_000, id, name: `q${id}` })
    states.push("waiting")
    attempts.push(0)
  }
  let at = 1_000
  for (const { after, query, rows, what } of steps) {
    const state = states[query]
    if (state === undefined || state === "ended") continue
    at += after
    const of = { at, id: query, name: `q${query}` }
    if (what === "start" && state !== "running") {
      events.push({ _tag: "Started", ...of, worker: 0, attempt: (attempts[query] = (attempts[query] ?? 0) + 1) })
      states[query] = "running"
    } else if (what === "progress" && state === "running") {
      events.push({ _tag: "Progressed", ...of, rows })
    } else if (what === "retry" && state === "running") {
      events.push({ _tag: "Retrying", ...of, attempt: attempts[query] ?? 0, error: "", delayMillis: after })
      states[query] = "resting"
    } else if (what === "succeed" || what === "fail" || what === "cancel" || what === "skip") {
      const outcome =
        what === "skip" ? "Skipped" : what === "cancel" ? "Cancelled" : what === "fail" ? "Failed" : "Succeeded"
      if (outcome === "Succeeded" && state !== "running") continue
      events.push({ _tag: "Ended", ...of, outcome, rows })
      states[query] = "ended"
    }
  }
  return events
}

/** Counts what happened by looking at all of it. */
const counted = (events: ReadonlyArray<QueryEvent>) => {
  const last = new Map<number, QueryEvent>()
  for (const event of events) if ("id" in event && event._tag !== "Progressed") last.set(event.id, event)
  const count = (is: (event: QueryEvent) => boolean) => [...last.values()].filter(is).length
  const ended = (outcome: string) => count((event) => event._tag === "Ended" && event.outcome === outcome)
  return {
    waiting: count(({ _tag }) => _tag === "Submitted"),
    running: count(({ _tag }) => _tag === "Started"),
    retrying: count(({ _tag }) => _tag === "Retrying"),
    succeeded: ended("Succeeded"),
    failed: ended("Failed"),
    cancelled: ended("Cancelled"),
    skipped: ended("Skipped")
  }
}

const after = (events: Iterable<QueryEvent>, now: number, options?: Progress.Options): Progress.Progress => {
  const { add, progress } = Progress.collector(options)
  for (const event of events) add(event)
  return progress(now)
}

const submitted = (id: number, name: string): QueryEvent => ({ _tag: "Submitted", at: 0, id, name })
const started = (id: number, name: string, at: number, attempt = 1, worker = 0): QueryEvent => {
  return { _tag: "Started", at, id, name, worker, attempt }
}

describe("the progress of a run", () => {
  it.effect.prop(
    "counts each query once, at every moment, and what has ended never less than before",
    [Script],
    ([script]) =>
      Effect.sync(() => {
        const events = eventsOf(script)
        const { add, progress } = Progress.collector()
        let before = 0
        for (const [index, event] of events.entries()) {
          add(event)
          const now = progress(event.at)
          const { cancelled, failed, retrying, running, skipped, succeeded, total, waiting } = now
          assert.deepStrictEqual(
            { waiting, running: running.length, retrying: retrying.length, succeeded, failed, cancelled, skipped },
            counted(events.slice(0, index + 1))
          )
          const ended = succeeded + failed + cancelled + skipped
          assert.isAtLeast(ended, before)
          before = ended
          if (index < script.queries) continue
          assert.strictEqual(waiting + running.length + retrying.length + ended, total)
        }
      }),
    { arbitrary: { runs: 500, seed: 20_260_202 } }
  )

  it.effect.prop(
    "names those that run with the longest first, each since its attempt began",
    [Script],
    ([script]) =>
      Effect.sync(() => {
        const events = eventsOf(script)
        const now = (events.at(-1)?.at ?? 0) + 100
        const { retrying, running } = after(events, now)
        for (const { attempt, id, ranMillis, rows } of running) {
          const begun = events.findLast((event) => event._tag === "Started" && event.id === id)
          const rest = begun === undefined ? [] : events.slice(events.indexOf(begun))
          const told = rest.findLast((event) => event._tag === "Progressed" && event.id === id)
          assert.deepInclude(begun, { attempt, at: now - ranMillis })
          assert.strictEqual(rows, told?._tag === "Progressed" ? told.rows : 0)
        }
        const times = running.map(({ ranMillis }) => ranMillis)
        assert.deepStrictEqual(
          times,
          times.toSorted((a, b) => b - a)
        )
        const delays = retrying.map(({ inMillis }) => inMillis)
        assert.deepStrictEqual(
          delays,
          delays.toSorted((a, b) => a - b)
        )
      }),
    { arbitrary: { runs: 500, seed: 20_260_203 } }
  )

  it("tells of what runs and of what waits to be tried again", () => {
    const events: ReadonlyArray<QueryEvent> = [
      { _tag: "RunStarted", at: 0, concurrency: 2, queries: 3 },
      submitted(0, "a"),
      submitted(1, "b"),
      submitted(2, "c"),
      started(0, "a", 100),
      started(1, "b", 200, 1, 1),
      { _tag: "Progressed", at: 300, id: 0, name: "a", rows: 7 },
      { _tag: "Retrying", at: 400, id: 1, name: "b", attempt: 1, error: "no", delayMillis: 1_000 }
    ]
    assert.deepStrictEqual(after(events, 600), {
      total: 3,
      waiting: 1,
      running: [{ id: 0, name: "a", worker: 0, attempt: 1, rows: 7, ranMillis: 500 }],
      retrying: [{ id: 1, name: "b", attempt: 1, error: "no", inMillis: 800 }],
      succeeded: 0,
      failed: 0,
      cancelled: 0,
      skipped: 0,
      elapsedMillis: 600,
      remainingMillis: undefined,
      isOver: false
    })
    // Its time has come, and it waits for a slot.
    assert.strictEqual(after(events, 2_000).retrying[0]?.inMillis, 0)
    const again = after([...events, started(1, "b", 1_500, 2)], 2_000).running
    assert.deepStrictEqual(again[1], { id: 1, name: "b", worker: 0, attempt: 2, rows: 0, ranMillis: 500 })
  })

  it("stands still once the run is over, and nothing remains", () => {
    const events: ReadonlyArray<QueryEvent> = [
      { _tag: "RunStarted", at: 1_000, concurrency: 2 },
      submitted(0, "a"),
      { _tag: "Ended", at: 1_500, id: 0, name: "a", outcome: "Skipped", rows: 0 },
      { _tag: "RunEnded", at: 1_600 }
    ]
    const progress = after(events, 9_000)
    assert.deepInclude(progress, { elapsedMillis: 600, remainingMillis: 0, isOver: true, skipped: 1, total: undefined })
  })

  it("is that of an empty run before its first event", () => {
    assert.deepInclude(after([], 5_000), { elapsedMillis: 0, waiting: 0, isOver: false, total: undefined })
  })

  it("keeps nothing of a query that has ended", () => {
    const { add, progress } = Progress.collector()
    add({ _tag: "RunStarted", at: 0, concurrency: 1 })
    for (let id = 0; id < 1_000; id++) {
      add(submitted(id, "a"))
      add(started(id, "a", id))
      add({ _tag: "Ended", at: id, id, name: "a", outcome: "Succeeded", rows: 1 })
      add({ _tag: "Progressed", at: id, id, name: "a", rows: 2 })
      add({ _tag: "Ended", at: id, id, name: "a", outcome: "Failed", rows: 1 })
    }
    assert.deepInclude(progress(0), { succeeded: 1_000, failed: 0, running: [], waiting: 0 })
  })
})
