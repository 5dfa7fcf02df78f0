import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Plan from "../../../src/query/Plan.ts"
import type { OfPart, QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as Report from "../../../src/query/Report.ts"
import * as Timeline from "../../../src/query/Timeline.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const outcomes = Schema.Literals(["Succeeded", "Failed", "Cancelled"])
const Step = Schema.Struct({
  what: Schema.Literals(["submit", "start", "retry", "cancel", "end", "wait", "wait"]),
  which: integer(0, 20),
  outcome: outcomes
})
const steps = Schema.Array(Step).check(Schema.isMaxLength(80))
const concurrencies = integer(1, 4)
const arbitrary = { runs: 300, seed: 20_260_104, size: 80 }

/** A moment of this century with the fraction that a clock of nanoseconds leaves. */
const epoch = 1_790_000_000_000 + 0.25

const name = (id: number) => `query ${id}`

/** The events of a run that goes by the steps as far as they are legal, and ends everything at its end. */
const legalRun = (steps: ReadonlyArray<typeof Step.Type>, concurrency: number): ReadonlyArray<QueryEvent> => {
  let at = epoch
  let submitted = 0
  const events: Array<QueryEvent> = [{ _tag: "RunStarted", at, concurrency }]
  const waiting: Array<{ readonly id: number; readonly attempt: number }> = []
  const running = new Map<number, { readonly worker: number; readonly attempt: number; readonly since: number }>()
  const of = (id: number) => ({ at, id, name: name(id) })
  const end = (id: number, outcome: typeof outcomes.Type | "Skipped") => {
    running.delete(id)
    events.push({
      _tag: "Ended",
      ...of(id),
      outcome,
      rows: id,
      ...(outcome === "Failed" ? { error: `error ${id}` } : {})
    })
  }
  for (const { outcome, what, which } of steps) {
    if (what === "wait") at += which / 8
    if (what === "submit") {
      events.push({ _tag: "Submitted", ...of(submitted) })
      waiting.push({ id: submitted++, attempt: 1 })
    }
    if (what === "start" && running.size < concurrency) {
      const next = waiting.splice(which % Math.max(1, waiting.length), 1)[0]
      if (next === undefined) continue
      const busy = new Set(running.values().map(({ worker }) => worker))
      const worker = Array.from({ length: concurrency }, (_, index) => index).find((index) => !busy.has(index)) ?? 0
      running.set(next.id, { worker, attempt: next.attempt, since: at })
      events.push({ _tag: "Started", ...of(next.id), worker, attempt: next.attempt })
    }
    const id = [...running.keys()][which % Math.max(1, running.size)]
    const life = id === undefined ? undefined : running.get(id)
    if (id === undefined || life === undefined) continue
    if (what === "retry") {
      running.delete(id)
      waiting.push({ id, attempt: life.attempt + 1 })
      events.push({ _tag: "Retrying", ...of(id), attempt: life.attempt, error: "lost", delayMillis: which / 4 })
    }
    if (what === "cancel") {
      // Told of when it is over: it may have begun at any time since the attempt did, and by the clock even before.
      const tookMillis = (at - life.since) * (which / 16)
      events.push({ _tag: "CancelEnded", ...of(id), how: "idle", tookMillis })
      end(id, outcome === "Succeeded" ? "Cancelled" : outcome)
    }
    if (what === "end") end(id, outcome)
  }
  for (const id of running.keys()) end(id, "Cancelled")
  for (const { attempt, id } of waiting) end(id, attempt === 1 ? "Skipped" : "Cancelled")
  events.push({ _tag: "RunEnded", at })
  return events
}

const isHeld = ({ kind }: Timeline.Segment) => kind === "running" || kind === "cancelling"
const lengthOf = (segments: ReadonlyArray<Timeline.Segment>) =>
  segments.reduce((sum, { fromMillis, toMillis }) => sum + toMillis - fromMillis, 0)

/** Kind, beginning and end. */
const shown = (segments: ReadonlyArray<Timeline.Segment>) =>
  segments.map(({ fromMillis, kind, toMillis }) => `${kind} ${fromMillis}-${toMillis}`)

const query = { id: 0, name: "a" }
const started = [
  { _tag: "RunStarted", at: 1000, concurrency: 1 },
  { _tag: "Submitted", at: 1000, ...query },
  { _tag: "Started", at: 1010, ...query, worker: 0, attempt: 1 }
] as const satisfies ReadonlyArray<QueryEvent>

const segmentsOf = (events: ReadonlyArray<QueryEvent>) => shown(Timeline.fromEvents(events).queries[0]?.segments ?? [])

const partOf = (id: number) => ({ id, name: `a [${id}]` })

const snapshotOf = (events: ReadonlyArray<QueryEvent>) =>
  Timeline.fromEvents([{ _tag: "RunStarted", at: 100, concurrency: 1 }, ...events]).snapshot

describe("Timeline", () => {
  it.prop(
    "tells of each query one segment after the other, from its submission to its end",
    [steps, concurrencies],
    ([steps, concurrency]) => {
      const events = legalRun(steps, concurrency)
      for (const { id, segments } of Timeline.fromEvents(events).queries) {
        const times = events.flatMap((event) =>
          "id" in event && event.id === id && (event._tag === "Submitted" || event._tag === "Ended")
            ? [event.at - epoch]
            : []
        )
        const [from = 0, to = 0] = times
        if (from === to) {
          assert.isEmpty(segments)
          continue
        }
        assert.strictEqual(segments[0]?.fromMillis, from)
        assert.strictEqual(segments.at(-1)?.toMillis, to)
        for (const [index, segment] of segments.entries()) {
          assert.isBelow(segment.fromMillis, segment.toMillis)
          if (index > 0) assert.strictEqual(segment.fromMillis, segments[index - 1]?.toMillis)
        }
      }
    },
    { arbitrary }
  )

  it.prop(
    "tells the same times, attempts and facts as the report",
    [steps, concurrencies],
    ([steps, concurrency]) => {
      const events = legalRun(steps, concurrency)
      const { queries: reports, failures: _, snapshot: _snapshot, ...facts } = Report.fromEvents(events)
      const timeline = Timeline.fromEvents(events)
      assert.deepInclude(timeline, facts)
      assert.strictEqual(timeline.startedAt, epoch)
      assert.deepStrictEqual(
        timeline.queries.map(
          ({ cancel: _c, failedAttempts: _f, needs: _n, parts: _p, segments: _s, ...report }) => report
        ),
        reports
      )
      for (const { attempts, failedAttempts, ranMillis, segments, waitedMillis } of timeline.queries) {
        assert.closeTo(lengthOf(segments.filter(isHeld)), ranMillis, 1e-6)
        assert.closeTo(lengthOf(segments) - lengthOf(segments.filter(isHeld)), waitedMillis, 1e-6)
        for (const segment of segments) {
          assert.strictEqual(isHeld(segment), segment.worker !== undefined)
          assert.isAtMost(segment.attempt, failedAttempts.length + 1)
        }
        assert.isAtLeast(failedAttempts.length + 1, attempts)
      }
    },
    { arbitrary }
  )

  it.prop(
    "never has two queries on one worker",
    [steps, concurrencies],
    ([steps, concurrency]) => {
      const { queries } = Timeline.fromEvents(legalRun(steps, concurrency))
      const held = queries
        .flatMap(({ segments }) => segments.filter(isHeld))
        .toSorted((a, b) => a.fromMillis - b.fromMillis || a.toMillis - b.toMillis)
      const ends = new Map<number | undefined, number>()
      for (const { fromMillis, toMillis, worker } of held) {
        assert.isAtLeast(fromMillis, ends.get(worker) ?? 0)
        ends.set(worker, toMillis)
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
      const unknown = { at: events[after]?.at ?? epoch, id: 1_000_000, name: "unknown" }
      const disturbed: ReadonlyArray<QueryEvent> = [
        ...events.slice(0, after + 1),
        { _tag: "Started", ...unknown, worker: 0, attempt: 1 },
        { _tag: "OfPart", ...unknown, part: { _tag: "Submitted", ...unknown } },
        { _tag: "Ended", ...unknown, outcome: "Failed", rows: 1, error: "lost" },
        ...events.slice(after + 1)
      ]
      assert.deepStrictEqual(Timeline.fromEvents(disturbed), Timeline.fromEvents(events))
    },
    { arbitrary }
  )

  it("tells the wait for another attempt from the wait for a slot after it", () => {
    const events: ReadonlyArray<QueryEvent> = [
      ...started,
      { _tag: "Retrying", at: 1020, ...query, attempt: 1, error: "lost", delayMillis: 30 },
      { _tag: "Started", at: 1055, ...query, worker: 0, attempt: 2 },
      { _tag: "Ended", at: 1060, ...query, outcome: "Succeeded", rows: 0 }
    ]
    assert.deepStrictEqual(segmentsOf(events), [
      "waiting 0-10",
      "running 10-20",
      "retrying 20-50",
      "waiting 50-55",
      "running 55-60"
    ])
    const [first] = Timeline.fromEvents(events).queries
    assert.deepStrictEqual(first?.failedAttempts, [{ attempt: 1, error: "lost", delayMillis: 30 }])
    assert.deepStrictEqual(
      first?.segments.map(({ attempt }) => attempt),
      [1, 1, 2, 2, 2]
    )
  })

  it("tells when a query that was told to stop did stop, and how", () => {
    const cancelled: ReadonlyArray<QueryEvent> = [
      ...started,
      { _tag: "CancelEnded", at: 1050, ...query, how: "terminated", tookMillis: 25 },
      { _tag: "Ended", at: 1051, ...query, outcome: "Cancelled", rows: 0 }
    ]
    assert.deepStrictEqual(segmentsOf(cancelled), ["waiting 0-10", "running 10-25", "cancelling 25-51"])
    assert.deepStrictEqual(Timeline.fromEvents(cancelled).queries[0]?.cancel, { how: "terminated", tookMillis: 25 })
  })

  it("does not let a cancel begin before its attempt", () => {
    assert.deepStrictEqual(
      segmentsOf([
        ...started,
        { _tag: "CancelEnded", at: 1050, ...query, how: "idle", tookMillis: 45 },
        { _tag: "Ended", at: 1050, ...query, outcome: "Cancelled", rows: 0 }
      ]),
      ["waiting 0-10", "cancelling 10-50"]
    )
  })

  it("tells the wait for what a query needs from the wait for its turn, and the critical path", () => {
    const plan = Result.getOrThrow(
      Plan.make([
        { name: "load", needs: [] },
        { name: "other", needs: [] },
        { name: "report", needs: ["load", "other"] }
      ])
    )
    const of = (id: number) => ({ id, name: plan.nodes[id]?.name ?? "" })
    const timeline = Timeline.fromEvents(
      [
        { _tag: "RunStarted", at: 0, concurrency: 2 },
        ...[0, 1, 2].map((id) => ({ _tag: "Submitted" as const, at: 0, ...of(id) })),
        { _tag: "Started", at: 0, ...of(0), worker: 0, attempt: 1 },
        { _tag: "Started", at: 0, ...of(1), worker: 1, attempt: 1 },
        { _tag: "Ended", at: 20, ...of(1), outcome: "Succeeded", rows: 0 },
        { _tag: "Ended", at: 50, ...of(0), outcome: "Succeeded", rows: 0 },
        { _tag: "Started", at: 60, ...of(2), worker: 0, attempt: 1 },
        { _tag: "Ended", at: 90, ...of(2), outcome: "Succeeded", rows: 0 },
        { _tag: "RunEnded", at: 90 }
      ],
      { plan }
    )
    const report = timeline.queries[2]
    assert.deepStrictEqual(report?.needs, [0, 1])
    assert.deepStrictEqual(shown(report?.segments ?? []), ["needing 0-50", "waiting 50-60", "running 60-90"])
    assert.deepStrictEqual(timeline.criticalPath, ["load", "report"])
    assert.deepInclude(timeline, { lowerBoundMillis: 80, binding: "critical path" })
  })

  it("tells of a query that was skipped that it waited for what it needed", () => {
    const plan = Result.getOrThrow(
      Plan.make([
        { name: "load", needs: [] },
        { name: "report", needs: ["load"] }
      ])
    )
    const timeline = Timeline.fromEvents(
      [
        { _tag: "Submitted", at: 0, id: 0, name: "load" },
        { _tag: "Submitted", at: 0, id: 1, name: "report" },
        { _tag: "Started", at: 0, id: 0, name: "load", worker: 0, attempt: 1 },
        { _tag: "Ended", at: 20, id: 0, name: "load", outcome: "Failed", rows: 0, error: "no" },
        { _tag: "Ended", at: 20, id: 1, name: "report", outcome: "Skipped", rows: 0, because: "load" }
      ],
      { plan }
    )
    assert.deepStrictEqual(shown(timeline.queries[1]?.segments ?? []), ["needing 0-20"])
    assert.strictEqual(timeline.queries[1]?.because, "load")
  })

  it("tells of the parts of a query as it does of queries", () => {
    const part = (part: OfPart["part"]): QueryEvent => ({ _tag: "OfPart", at: part.at, ...query, part })
    const [first] = Timeline.fromEvents([
      ...started,
      part({ _tag: "Submitted", at: 1010, ...partOf(0) }),
      part({ _tag: "Submitted", at: 1010, ...partOf(1) }),
      part({ _tag: "Started", at: 1010, ...partOf(0), worker: 0, attempt: 1 }),
      part({ _tag: "Started", at: 1012, ...partOf(1), worker: 1, attempt: 1 }),
      part({ _tag: "Retrying", at: 1020, ...partOf(1), attempt: 1, error: "lost", delayMillis: 5 }),
      part({ _tag: "Ended", at: 1030, ...partOf(0), outcome: "Succeeded", rows: 7 }),
      part({ _tag: "Started", at: 1025, ...partOf(1), worker: 1, attempt: 2 }),
      part({ _tag: "Ended", at: 1040, ...partOf(1), outcome: "Failed", rows: 0, error: "no" }),
      { _tag: "Ended", at: 1041, ...query, outcome: "Failed", rows: 0, error: "no" }
    ]).queries
    assert.deepStrictEqual(
      first?.parts.map(({ error, name, outcome, rows, segments }) => ({
        error,
        name,
        outcome,
        rows,
        segments: shown(segments)
      })),
      [
        { error: undefined, name: "a [0]", outcome: "Succeeded", rows: 7, segments: ["running 10-30"] },
        {
          error: "no",
          name: "a [1]",
          outcome: "Failed",
          rows: 0,
          segments: ["waiting 10-12", "running 12-20", "retrying 20-25", "running 25-40"]
        }
      ]
    )
    assert.deepStrictEqual(shown(first?.segments ?? []), ["waiting 0-10", "running 10-41"])
  })

  it("tells from when until when a snapshot was held", () => {
    assert.isUndefined(snapshotOf([{ _tag: "RunEnded", at: 130 }]))
    const taken: QueryEvent = { _tag: "SnapshotTaken", at: 110 }
    const end: QueryEvent = { _tag: "RunEnded", at: 130 }
    assert.deepStrictEqual(snapshotOf([taken, end]), { fromMillis: 10, toMillis: 30, lost: false })
    assert.deepStrictEqual(snapshotOf([taken, { _tag: "SnapshotEnded", at: 120, lost: true }, end]), {
      fromMillis: 10,
      toMillis: 20,
      lost: true
    })
  })

  it("keeps the first hundred failed attempts of a query that is tried very often", () => {
    const events: Array<QueryEvent> = [...started]
    for (let attempt = 1; attempt <= 250; attempt++) {
      const at = 1010 + attempt
      events.push({ _tag: "Retrying", at, ...query, attempt, error: attempt, delayMillis: 0 })
      events.push({ _tag: "Started", at, ...query, worker: 0, attempt: attempt + 1 })
    }
    events.push({ _tag: "Ended", at: 2000, ...query, outcome: "Succeeded", rows: 0 })
    const [first] = Timeline.fromEvents(events).queries
    assert.lengthOf(first?.failedAttempts ?? [], 100)
    assert.strictEqual(first?.attempts, 251)
  })
})
