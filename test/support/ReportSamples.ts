/**
 * Reports of runs that never were: events as a run of so many queries would tell them, and the documents made of those.
 * The same each time.
 */
import type { QueryEvent } from "../../src/query/QueryEvent.ts"
import * as Plan from "../../src/query/Plan.ts"
import type * as ReportDocument from "../../src/query/ReportDocument.ts"
import * as Timeline from "../../src/query/Timeline.ts"
import { Result } from "effect"
import { runDocumentOf } from "../../src/cli/report/RunDocuments.ts"

interface SampleQuery {
  readonly name: string
  readonly millis: number
  readonly needs?: ReadonlyArray<number>
  readonly sql?: string
  readonly error?: string
  /** How often it fails and is tried again. */
  readonly retries?: number
  readonly parts?: number
}

interface Options {
  readonly concurrency: number
  readonly cancelAt?: number
  readonly snapshot?: boolean
}

/** Numbers from 0 to 1 (Numerical Recipes, "Quick and Dirty Generators"). */
const dice = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const epoch = Date.UTC(2026, 10, 26, 14, 30)

/** What a run of the queries would tell. */
const eventsOf = (queries: ReadonlyArray<SampleQuery>, options: Options): ReadonlyArray<QueryEvent> => {
  const { cancelAt = Infinity, concurrency, snapshot = false } = options
  const events: Array<QueryEvent> = [{ _tag: "RunStarted", at: epoch, concurrency }]
  for (const [id, { name }] of queries.entries()) events.push({ _tag: "Submitted", at: epoch, id, name })
  interface Work {
    readonly id: number
    readonly attempt: number
    readonly readyAt: number
  }
  const waiting: Array<Work> = queries.map((_, id) => ({ id, attempt: 1, readyAt: 0 }))
  const running: Array<Work & { readonly worker: number; readonly startedAt: number; readonly endsAt: number }> = []
  const done = new Map<number, boolean>()
  const free = Array.from({ length: concurrency }, (_, worker) => worker)
  let now = 0
  const of = (id: number) => ({ at: epoch + now, id, name: queries[id]?.name ?? "" })
  const skip = (id: number, because?: string) => {
    done.set(id, false)
    events.push({
      _tag: "Ended",
      ...of(id),
      outcome: "Skipped",
      rows: 0,
      ...(because === undefined ? {} : { because })
    })
  }
  const isReady = ({ id, readyAt }: Work) =>
    readyAt <= now && (queries[id]?.needs ?? []).every((need) => done.get(need) === true)
  const partsOf = (id: number, startedAt: number, millis: number) => {
    const parts = queries[id]?.parts ?? 0
    for (let part = 0; part < parts; part++) {
      const own = { id: part, name: `${queries[id]?.name} [${part + 1}/${parts}]` }
      const at = epoch + startedAt
      const row = part % 4
      const from = at + Math.floor(part / 4) * (millis / Math.ceil(parts / 4))
      const to = from + (millis / Math.ceil(parts / 4)) * (0.75 + row * 0.08)
      const tell = (part: Extract<QueryEvent, { _tag: "OfPart" }>["part"]) =>
        events.push({ _tag: "OfPart", at: part.at, id, name: queries[id]?.name ?? "", part })
      tell({ _tag: "Submitted", at, ...own })
      tell({ _tag: "Started", at: from, ...own, worker: row, attempt: 1 })
      tell({ _tag: "Ended", at: to, ...own, outcome: "Succeeded", rows: 1000 })
    }
  }
  if (snapshot) events.push({ _tag: "SnapshotTaken", at: epoch + 2 })
  for (;;) {
    let index = now >= cancelAt ? -1 : waiting.findIndex(isReady)
    while (free.length > 0 && index >= 0) {
      const [work] = waiting.splice(index, 1)
      const worker = free.shift()
      if (work === undefined || worker === undefined) break
      const { millis = 1, retries = 0 } = queries[work.id] ?? {}
      const took = work.attempt <= retries ? millis / 3 : millis
      events.push({ _tag: "Started", ...of(work.id), worker, attempt: work.attempt })
      running.push({ ...work, worker, startedAt: now, endsAt: now + took })
      index = waiting.findIndex(isReady)
    }
    const times = [
      ...running.map(({ endsAt }) => endsAt),
      ...(free.length > 0 ? waiting.flatMap(({ readyAt }) => (readyAt > now ? [readyAt] : [])) : [])
    ]
    if (times.length === 0) break
    const next = Math.min(...times)
    if (next >= cancelAt) {
      for (const [place, { id }] of running.entries()) {
        now = cancelAt + 14 + place * 9
        events.push({
          _tag: "CancelEnded",
          ...of(id),
          how: place === 0 ? "idle" : "terminated",
          tookMillis: 12 + place * 9
        })
        events.push({ _tag: "Ended", ...of(id), outcome: "Cancelled", rows: 0 })
      }
      break
    }
    now = next
    const ended = running.filter(({ endsAt }) => endsAt <= now)
    for (const one of ended) {
      running.splice(running.indexOf(one), 1)
      free.push(one.worker)
      free.sort((a, b) => a - b)
      const { error, millis = 1, retries = 0 } = queries[one.id] ?? {}
      if (one.attempt <= retries) {
        const delayMillis = millis * 0.6 * one.attempt
        events.push({
          _tag: "Retrying",
          ...of(one.id),
          attempt: one.attempt,
          error: new Error("deadlock detected"),
          delayMillis
        })
        waiting.push({ id: one.id, attempt: one.attempt + 1, readyAt: now + delayMillis })
        continue
      }
      partsOf(one.id, one.startedAt, millis)
      done.set(one.id, error === undefined)
      events.push({
        _tag: "Ended",
        ...of(one.id),
        outcome: error === undefined ? "Succeeded" : "Failed",
        rows: Math.round(millis * 7) % 4211,
        ...(error === undefined ? {} : { error: new Error(error) })
      })
      if (error === undefined) continue
      const lost = new Set([one.id])
      for (const { id } of waiting.slice()) {
        if (!(queries[id]?.needs ?? []).some((need) => lost.has(need))) continue
        lost.add(id)
        waiting.splice(
          waiting.findIndex((work) => work.id === id),
          1
        )
        skip(id, queries[one.id]?.name)
      }
    }
  }
  for (const { id } of waiting) skip(id)
  if (snapshot) events.push({ _tag: "SnapshotEnded", at: epoch + now, lost: false })
  events.push({ _tag: "RunEnded", at: epoch + now })
  return events
}

/** The report of a run of the queries. */
export const runOf = (queries: ReadonlyArray<SampleQuery>, options: Options): ReportDocument.Run => {
  const planned = queries.map(({ name, needs = [] }) => ({
    name,
    needs: needs.map((need) => queries[need]?.name ?? "")
  }))
  const plan = Result.getOrUndefined(Plan.make(planned))
  return runDocumentOf(Timeline.fromEvents(eventsOf(queries, options), { plan }), {
    database: "db.example.com:5432",
    interrupted: options.cancelAt !== undefined,
    sourceOf: (id) => ({
      source: { file: `queries/${queries[id]?.name}.sql`, line: 3, sql: queries[id]?.sql ?? `select ${id}` },
      tags: id % 3 === 0 ? { team: "finance", tier: String(id % 2) } : {}
    }),
    failureOf: (id, error) => {
      const message = error instanceof Error ? error.message : String(error)
      return message === "deadlock detected"
        ? { reason: "Deadlock", sqlState: "40P01", message, outcome: "notApplied", hint: "retry the whole unit" }
        : {
            reason: "Rejected",
            sqlState: "42703",
            message,
            outcome: "notApplied",
            place: { file: `queries/${queries[id]?.name}.sql`, line: 4, column: 8 },
            excerpt: "select totl from invoice\n       ^"
          }
    }
  })
}

export const documentOf = (...runs: ReadonlyArray<ReportDocument.Run>): ReportDocument.Document => ({
  format: "querypool/report",
  version: 1,
  generator: "querypool 0.1.0",
  runs
})

/** Six queries as those of the demo. */
export const six = (concurrency = 3): ReportDocument.Run =>
  runOf(
    [
      { name: "01-tellers", millis: 3 },
      {
        name: "02-accounts-per-branch",
        millis: 88,
        sql: "select bid, count(*)\n  from pgbench_accounts\n group by bid"
      },
      { name: "03-branches", millis: 2 },
      { name: "04-branches-in-accounts", millis: 61 },
      { name: "05-thousand-accounts", millis: 24 },
      { name: "06-accounts-per-branch-limited", millis: 90 }
    ],
    { concurrency }
  )

const folders = ["import", "daily", "finance", "shipping"]

/** Queries that need each other, of which some fail, are tried again, or are run in parts. */
export const mixed = (
  count: number,
  options: Partial<Options> & { readonly seed?: number } = {}
): ReportDocument.Run => {
  const roll = dice(options.seed ?? 7)
  const queries = Array.from({ length: count }, (_, id): SampleQuery => {
    const millis = 4 + 180 * roll() ** 4 * (roll() > 0.9 ? 5 : 1)
    const kind = roll()
    const needs = id > 6 && roll() > 0.6 ? [Math.floor(roll() * id), Math.floor(roll() * id)] : []
    return {
      name: `${folders[id % folders.length]}/${["orders", "customers", "stock_levels", "revenue_per_month", "returns"][id % 5]}_${id}`,
      millis,
      needs: [...new Set(needs)],
      sql: `select customer_id, sum(total) as total\n  from invoice_${id % 40}\n where booked_at >= now() - interval '${id % 90} days'\n group by customer_id\n order by total desc`,
      ...(kind > 0.975 ? { error: `column "totl" does not exist` } : {}),
      ...(kind < 0.05 ? { retries: 1 + Math.floor(roll() * 2) } : {}),
      ...(count < 1000 && id % 23 === 11 ? { parts: 8, millis: 320 } : {})
    }
  })
  return runOf(queries, { concurrency: 6, ...options })
}

/** Very many, none of which needs another. */
export const many = (count: number, concurrency = 8): ReportDocument.Run => {
  const roll = dice(3)
  return runOf(
    Array.from({ length: count }, (_, id) => ({
      name: `tenant_${String(id).padStart(5, "0")}/refresh`,
      millis: 1 + 30 * roll() ** 3,
      sql: `update summary\n   set total = (select sum(amount) from booking where tenant = ${id})\n where tenant = ${id}`,
      ...(id % 1171 === 700 ? { error: "canceling statement due to lock timeout" } : {}),
      ...(id % 401 === 17 ? { retries: 1 } : {})
    })),
    { concurrency, snapshot: true }
  )
}
