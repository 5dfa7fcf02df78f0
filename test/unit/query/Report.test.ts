import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as Report from "../../../src/query/Report.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const outcomes = Schema.Literals(["Succeeded", "Failed", "Cancelled", "Skipped"])
const Step = Schema.Struct({
  what: Schema.Literals(["submit", "start", "notice", "end", "wait"]),
  which: integer(0, 20),
  outcome: outcomes
})
const steps = Schema.Array(Step).check(Schema.isMaxLength(60))
const concurrencies = integer(1, 4)
const arbitrary = { runs: 300, seed: 20_260_102, size: 60 }

/** A moment of this century with the fraction that a clock of nanoseconds leaves. */
const epoch = 1_790_000_000_000 + 0.25

const name = (id: number) => `query ${id}`

/** The events of a run that goes by the steps as far as they are legal, and ends everything at its end. */
const legalRun = (steps: ReadonlyArray<typeof Step.Type>, concurrency: number): ReadonlyArray<QueryEvent> => {
  let at = epoch
  let submitted = 0
  const events: Array<QueryEvent> = [{ _tag: "RunStarted", at, concurrency }]
  const waiting: Array<number> = []
  const running = new Map<number, number>()
  const end = (id: number, outcome: typeof outcomes.Type) => {
    running.delete(id)
    const error = outcome === "Failed" ? { error: `error ${id}` } : {}
    events.push({ _tag: "Ended", at, id, name: name(id), outcome, rows: id * 2, ...error })
  }
  for (const { outcome, what, which } of steps) {
    if (what === "wait") at += which / 8
    if (what === "submit") {
      events.push({ _tag: "Submitted", at, id: submitted, name: name(submitted) })
      waiting.push(submitted++)
    }
    if (what === "start" && running.size < concurrency) {
      const id = waiting.splice(which % Math.max(1, waiting.length), 1)[0]
      if (id === undefined) continue
      const busy = new Set(running.values())
      const worker = Array.from({ length: concurrency }, (_, index) => index).find((index) => !busy.has(index)) ?? 0
      running.set(id, worker)
      events.push({ _tag: "Started", at, id, name: name(id), worker, attempt: 1 })
    }
    const id = [...running.keys()][which % Math.max(1, running.size)]
    if (id === undefined) continue
    if (what === "notice")
      events.push({ _tag: "Noticed", at, id, name: name(id), severity: "NOTICE", message: `${at}` })
    if (what === "end") end(id, outcome === "Skipped" ? "Succeeded" : outcome)
  }
  for (const id of running.keys()) end(id, "Cancelled")
  for (const id of waiting) end(id, "Skipped")
  events.push({ _tag: "RunEnded", at })
  return events
}

describe("Report", () => {
  it("tells of a run without queries that it took no time and was perfect", () => {
    const report = Report.fromEvents([
      { _tag: "RunStarted", at: epoch, concurrency: 3 },
      { _tag: "RunEnded", at: epoch }
    ])
    const nothing = { queries: [], failures: [], makespanMillis: 0, lowerBoundMillis: 0, efficiency: 1 }
    assert.deepStrictEqual(report, { ...nothing, binding: "longest query", concurrency: 3 })
  })

  it("keeps waiting and running apart, and counts from the start of the run", () => {
    const query = { id: 0, name: "a" }
    const report = Report.fromEvents([
      { _tag: "RunStarted", at: 1000, concurrency: 1 },
      { _tag: "Submitted", at: 1010, ...query },
      { _tag: "Started", at: 1030, ...query, worker: 0, attempt: 1 },
      { _tag: "Noticed", at: 1031, ...query, severity: "WARNING", message: "slow" },
      { _tag: "Ended", at: 1090, ...query, outcome: "Succeeded", rows: 7 },
      { _tag: "RunEnded", at: 1100 }
    ])
    assert.deepStrictEqual(report, {
      queries: [
        {
          id: 0,
          name: "a",
          outcome: "Succeeded",
          waitedMillis: 20,
          ranMillis: 60,
          rows: 7,
          attempts: 1,
          worker: 0,
          startedMillis: 30,
          notices: [{ severity: "WARNING", message: "slow" }],
          moreNotices: 0
        }
      ],
      failures: [],
      concurrency: 1,
      makespanMillis: 100,
      lowerBoundMillis: 60,
      binding: "longest query",
      efficiency: 0.6
    })
  })

  it("says that the total work bounds a run whose workers all had more to do than its longest query", () => {
    const report = Report.fromEvents([
      { _tag: "RunStarted", at: 0, concurrency: 2 },
      ...[0, 1, 2].map((id) => ({ _tag: "Submitted" as const, at: 0, id, name: "a" })),
      { _tag: "Started", at: 0, id: 0, name: "a", worker: 0, attempt: 1 },
      { _tag: "Started", at: 0, id: 1, name: "a", worker: 1, attempt: 1 },
      { _tag: "Ended", at: 30, id: 0, name: "a", outcome: "Succeeded", rows: 0 },
      { _tag: "Ended", at: 30, id: 1, name: "a", outcome: "Succeeded", rows: 0 },
      { _tag: "Started", at: 30, id: 2, name: "a", worker: 0, attempt: 1 },
      { _tag: "Ended", at: 60, id: 2, name: "a", outcome: "Succeeded", rows: 0 },
      { _tag: "RunEnded", at: 60 }
    ])
    assert.deepInclude(report, { lowerBoundMillis: 45, binding: "total work", efficiency: 0.75 })
  })

  it("says because of which query one was skipped", () => {
    const report = Report.fromEvents([
      { _tag: "Submitted", at: 0, id: 0, name: "a" },
      { _tag: "Ended", at: 0, id: 0, name: "a", outcome: "Skipped", rows: 0, because: "b" }
    ])
    assert.deepInclude(report.queries[0], { outcome: "Skipped", because: "b", attempts: 0 })
  })

  it("keeps the first hundred notices of a query, and counts the others", () => {
    const query = { id: 0, name: "a" }
    const collector = Report.collector()
    collector.add({ _tag: "Submitted", at: 0, ...query })
    for (let at = 1; at <= 250; at++) {
      collector.add({ _tag: "Noticed", at, ...query, severity: "NOTICE", message: String(at) })
    }
    collector.add({ _tag: "Ended", at: 251, ...query, outcome: "Succeeded", rows: 0 })
    const report = collector.query(0)
    assert.lengthOf(report?.notices ?? [], 100)
    assert.strictEqual(report?.notices.at(-1)?.message, "100")
    assert.strictEqual(report?.moreNotices, 150)
  })

  it("tells of a query that never had a session that it only waited", () => {
    const query = { id: 0, name: "a" }
    const collector = Report.collector()
    collector.add({ _tag: "RunStarted", at: 1000, concurrency: 1 })
    collector.add({ _tag: "Submitted", at: 1010, ...query })
    assert.isUndefined(collector.query(0))
    collector.add({ _tag: "Ended", at: 1050, ...query, outcome: "Skipped", rows: 0 })
    const report = collector.query(0)
    assert.deepInclude(report, { waitedMillis: 40, ranMillis: 0, attempts: 0, worker: undefined })
    assert.isUndefined(report?.startedMillis)
  })

  it.prop(
    "reports each query once, in the order of submission, ended as its event says",
    [steps, concurrencies],
    ([steps, concurrency]) => {
      const events = legalRun(steps, concurrency)
      const { queries } = Report.fromEvents(events)
      const submitted = events.filter((event) => event._tag === "Submitted")
      assert.deepStrictEqual(
        queries.map((query) => query.id),
        submitted.map((event) => event.id)
      )
      for (const query of queries) {
        const ends = events.filter((event) => event._tag === "Ended" && event.id === query.id)
        assert.lengthOf(ends, 1)
        const { name, outcome, rows } = query
        assert.deepInclude(ends[0], { name, outcome, rows, ...("error" in query ? { error: query.error } : {}) })
        assert.strictEqual(outcome === "Failed", "error" in query)
      }
    },
    { arbitrary }
  )

  it.prop(
    "finds every query's waiting and running within the makespan, and no more workers than there are",
    [steps, concurrencies],
    ([steps, concurrency]) => {
      const report = Report.fromEvents(legalRun(steps, concurrency))
      for (const query of report.queries) {
        assert.isAtLeast(query.waitedMillis, 0)
        assert.isAtLeast(query.ranMillis, 0)
        assert.isAtMost(query.waitedMillis + query.ranMillis, report.makespanMillis)
        assert.isAtMost((query.startedMillis ?? 0) + query.ranMillis, report.makespanMillis)
        assert.strictEqual(query.worker === undefined, query.attempts === 0)
        assert.isBelow(query.worker ?? 0, concurrency)
      }
      assert.isAtMost(report.lowerBoundMillis, report.makespanMillis)
      assert.isAtLeast(report.efficiency, 0)
      assert.isAtMost(report.efficiency, 1)
    },
    { arbitrary }
  )

  it.prop(
    "finds an efficiency above 0 in serial work, and one of 1 when it never paused",
    [Schema.NonEmptyArray(integer(1, 1000)), integer(0, 1000)],
    ([durations, pause]) => {
      let at = epoch
      const events: Array<QueryEvent> = [{ _tag: "RunStarted", at, concurrency: 1 }]
      durations.forEach((duration, id) => {
        const query = { id, name: "serial" }
        events.push({ _tag: "Submitted", at, ...query }, { _tag: "Started", at, ...query, worker: 0, attempt: 1 })
        at += duration
        events.push({ _tag: "Ended", at, ...query, outcome: "Succeeded", rows: 0 })
      })
      events.push({ _tag: "RunEnded", at: at + pause })
      const { efficiency } = Report.fromEvents(events)
      assert.isAbove(efficiency, 0)
      assert.isAtMost(efficiency, 1)
      assert.strictEqual(efficiency === 1, pause === 0)
    },
    { arbitrary }
  )

  it.prop(
    "keeps every notice with its query, in order",
    [steps, concurrencies],
    ([steps, concurrency]) => {
      const events = legalRun(steps, concurrency)
      for (const query of Report.fromEvents(events).queries) {
        assert.deepStrictEqual(
          query.notices,
          events.flatMap((event) =>
            event._tag === "Noticed" && event.id === query.id
              ? [{ severity: event.severity, message: event.message }]
              : []
          )
        )
      }
    },
    { arbitrary }
  )

  it.prop(
    "is not disturbed by events of a query it does not know",
    [steps, concurrencies, integer(0, 1000)],
    ([steps, concurrency, place]) => {
      const events = legalRun(steps, concurrency)
      const after = place % events.length
      const at = events[after]?.at ?? epoch
      const unknown = { at, id: 1_000_000, name: "unknown" }
      const disturbed: ReadonlyArray<QueryEvent> = [
        ...events.slice(0, after + 1),
        { _tag: "Started", ...unknown, worker: 0, attempt: 1 },
        { _tag: "Noticed", ...unknown, severity: "NOTICE", message: "lost" },
        { _tag: "Ended", ...unknown, outcome: "Failed", rows: 1, error: "lost" },
        ...events.slice(after + 1)
      ]
      assert.deepStrictEqual(Report.fromEvents(disturbed), Report.fromEvents(events))
    },
    { arbitrary }
  )

  it.prop(
    "tells while the run goes on of those that have ended, as it will at its end",
    [steps, concurrencies],
    ([steps, concurrency]) => {
      const events = legalRun(steps, concurrency)
      const last = Report.fromEvents(events)
      const collector = Report.collector()
      const ended = new Set<number>()
      for (const event of events) {
        collector.add(event)
        if (event._tag === "Ended") ended.add(event.id)
        assert.deepStrictEqual(
          collector.report().queries,
          last.queries.filter((query) => ended.has(query.id))
        )
      }
    },
    { arbitrary: { ...arbitrary, runs: 60 } }
  )
})
