/**
 * A round of chaos: a pool behind a faulty network runs a mix of queries while things happen to it, and every query is
 * held to account afterwards.
 *
 * All that is chosen follows from the round's seed, and what happens when from the machine: a round that failed is
 * played again as far as timing allows.
 */
import { Cause, Context, Effect, Exit, Fiber, Layer, Option, Random, Redacted } from "effect"
import { PgQueryPool, Query, QueryError, QueryPool } from "querypool"
import type { QueryEvent } from "querypool"
import * as Faults from "../support/Faults.ts"
import type { Server } from "../support/Server.ts"
import { waitUntil } from "../support/waitUntil.ts"
import type { Counts } from "./Bookkeeping.ts"
import { describeEnd, judge, judgeEvents } from "./Bookkeeping.ts"
import { Dice } from "./Dice.ts"
import { deedsOf, lostAnswers } from "./Mischief.ts"
import { watch } from "./Wire.ts"
import type { Piece } from "./Work.ts"
import { piecesOf, quickTransient } from "./Work.ts"

export interface Stage {
  /** Of a database with the schema of chaos, past every fault. */
  readonly url: Redacted.Redacted
  readonly server: Server
}

export interface RoundResult {
  readonly seed: number
  readonly queries: number
  /** How many queries ended how. */
  readonly outcomes: Readonly<Record<string, number>>
  /** How often what struck. */
  readonly faults: Readonly<Record<string, number>>
  readonly retries: number
  readonly wrong: ReadonlyArray<string>
  /** The proxy's account, where something was wrong. */
  readonly describe: string | undefined
}

/** More than all freezes, timeouts and retries of a round could add up to. */
const roundLimitMillis = 30_000

export const endpointOf = (url: Redacted.Redacted) => {
  const { hostname, port } = new URL(Redacted.value(url))
  return { host: hostname, port: Number(port) }
}

/** A pool behind a proxy, until the scope closes. Its backends are known by its name. */
export const faultyPool = Effect.fnUntraced(function* (
  stage: Stage,
  seed: number,
  applicationName: string,
  config: Omit<PgQueryPool.Config, "url" | "applicationName">
) {
  const faults = yield* Faults.make({ ...endpointOf(stage.url), seed })
  const services = yield* Layer.build(
    PgQueryPool.layer({
      ...config,
      url: faults.through(stage.url),
      applicationName,
      // Conflicts are wanted here, and a second of waiting for each is not.
      startupParameters: { deadlock_timeout: "20ms" }
    })
  )
  return { faults, services, statistics: Context.get(services, PgQueryPool.Statistics).get }
})

/** Runs one round. What was wrong stands in its result; it fails only when it could not be judged. */
export const run = Effect.fnUntraced(function* (
  stage: Stage,
  seed: number,
  options: { readonly sabotaged: boolean } = { sabotaged: false }
) {
  const { server } = stage
  const dice = new Dice(seed)
  const wrong: Array<string> = []
  const report = (text: string): void => void wrong.push(text)
  const applicationName = `chaos ${seed} ${process.pid}`
  const prefix = `r${seed}`
  const pieces = piecesOf({ dice, prefix, report, sabotaged: options.sabotaged }, dice.between(20, 40))
  const deeds = options.sabotaged ? lostAnswers : deedsOf(dice)
  const events: Array<QueryEvent.QueryEvent> = []

  const { describe, interrupted, lostAnswer } = yield* Effect.gen(function* () {
    const { faults, services, statistics } = yield* faultyPool(stage, seed, applicationName, {
      maxConnections: dice.between(2, 6),
      cancelGrace: 150
    })
    const { lostAnswer } = yield* watch(faults)
    const mischief = yield* Effect.forkChild(
      Effect.forEach(deeds, (deed) => deed.start({ faults, server, applicationName }), {
        concurrency: "unbounded",
        discard: true
      })
    )
    // Faults at messages are in place before the first message.
    yield* Effect.yieldNow
    const playing = yield* Effect.forkChild(Effect.provide(runOf(dice, pieces, events, report), services))
    const interruptAfter = dice.chance(0.15) ? dice.between(20, 300) : undefined
    if (interruptAfter !== undefined) {
      yield* Effect.sleep(interruptAfter)
      yield* Effect.forkChild(Fiber.interrupt(playing))
    }
    const ended = yield* Effect.timeoutOption(Fiber.await(playing), roundLimitMillis)
    if (Option.isNone(ended)) report(`the run did not end within ${roundLimitMillis} ms`)
    else if (Exit.isFailure(ended.value) && !Cause.hasInterruptsOnly(ended.value.cause)) {
      report(`the run ended with a defect: ${Cause.pretty(ended.value.cause)}`)
    }
    const { inUse, waiting } = yield* statistics
    if (inUse > 0 || waiting > 0) report(`after the run, ${inUse} slots were in use and ${waiting} waited`)

    yield* Fiber.interrupt(mischief)
    yield* faults.heal
    yield* faults.deliverCancels
    yield* idle(server, applicationName, report)
    yield* Effect.provide(answers(report), services)
    return { describe: faults.describe(), interrupted: interruptAfter !== undefined, lostAnswer }
  }).pipe(Effect.scoped, Random.withSeed(seed))

  yield* server.until({ applicationName }, "gone")
  const counts = yield* countsOf(server, prefix)
  const ends = endsOf(events)
  const silent = deeds.some((deed) => deed.silent === true && deed.struck() > 0)
  for (const piece of pieces) {
    const end = ends.get(piece.name)
    if (end === undefined) continue
    const gaveUp = end.error instanceof QueryError.QueryError && end.error.reason._tag === "TimedOut"
    const explained = () =>
      silent || gaveUp || [piece.mark, ...piece.groups.flatMap(({ tokens }) => tokens)].some(lostAnswer)
    wrong.push(...judge(piece, end, counts, explained))
    if (isCancelledByServer(end.error) && !deeds.some((deed) => deed.cancels === true)) {
      report(`${piece.name}: was cancelled, and nobody had wanted it`)
    }
  }
  wrong.push(...judgeEvents(pieces, events, interrupted))
  wrong.push(...(yield* movesAreWrong(server, pieces, counts, prefix)))
  return {
    seed,
    queries: pieces.length,
    outcomes: tally(Array.from(ends.values(), (end) => [describeEnd(end), 1])),
    faults: tally([
      ...deeds.map((deed) => [deed.kind, deed.struck()] as const),
      ...(interrupted ? [["run interrupted", 1] as const] : [])
    ]),
    retries: events.filter((event) => event._tag === "Retrying").length,
    wrong,
    describe: wrong.length === 0 ? undefined : describe
  } satisfies RoundResult
})

/** No backend of the pool may be left working, or with a transaction open. */
const idle = (server: Server, applicationName: string, report: (wrong: string) => void) => {
  const busy = server.rows(
    `select pid, state, query from pg_stat_activity where application_name = $1 and state is distinct from 'idle'`,
    [applicationName]
  )
  return Effect.catchTag(
    waitUntil(
      "no backend of the pool is busy",
      Effect.map(busy, (rows) => rows.length === 0),
      5
    ),
    "WaitedTooLong",
    () => Effect.map(busy, (rows) => report(`backends were left busy: ${JSON.stringify(rows)}`))
  )
}

/** The pool serves as many at once as it ever could. */
const answers = Effect.fnUntraced(function* (report: (wrong: string) => void) {
  const { get } = yield* PgQueryPool.Statistics
  const { maxConnections } = yield* get
  const queries = Array.from({ length: 2 * maxConnections }, (_, index) =>
    Query.make(`answer ${index}`, (sql) => sql`select 1`, {
      mode: "readOnly",
      // An idle connection may have been cut, which shows when it is used.
      retry: quickTransient,
      timeout: "5 seconds"
    })
  )
  const outcomes = yield* QueryPool.all(queries, { mode: "outcome", concurrency: maxConnections })
  for (const outcome of outcomes) {
    if (outcome._tag !== "Succeeded")
      report(`afterwards the pool does not answer: ${describeEnd({ ...outcome, outcome: outcome._tag })}`)
  }
  const { inUse } = yield* get
  if (inUse > 0) report(`afterwards ${inUse} slots are in use`)
})

const countsOf = (server: Server, prefix: string) =>
  Effect.map(
    server.rows(
      `select token, count(*)::int as count from (select token from ledger union all select token from upserted) as all_of_them
        where token like $1 group by token`,
      [`${prefix}-%`]
    ),
    (rows) => new Map(rows.map((row) => [String(row["token"]), Number(row["count"])]))
  )

/** Each transfer that is there has moved two accounts, and what is not there has moved none. */
const movesAreWrong = Effect.fnUntraced(function* (
  server: Server,
  pieces: ReadonlyArray<Piece>,
  counts: Counts,
  prefix: string
) {
  const [row] = yield* server.rows("select sum(moves)::int as moves from account_of_chaos")
  yield* server.rows("update account_of_chaos set moves = 0")
  yield* server.rows("delete from ledger where token like $1", [`${prefix}-%`])
  yield* server.rows("delete from upserted where token like $1", [`${prefix}-%`])
  const transfers = pieces.filter((piece) => piece.kind === "transfer").flatMap(({ groups }) => groups)
  const there = transfers.flatMap(({ tokens }) => tokens).reduce((sum, token) => sum + (counts.get(token) ?? 0), 0)
  return Number(row?.["moves"]) === 2 * there
    ? []
    : [`the accounts do not balance: ${there} transfers, ${String(row?.["moves"])} moves`]
})

const isCancelledByServer = (error: unknown): boolean =>
  error instanceof QueryError.QueryError && error.reason._tag === "CancelledByServer"

const endsOf = (events: ReadonlyArray<QueryEvent.QueryEvent>) =>
  new Map(events.flatMap((event) => (event._tag === "Ended" ? [[event.name, event] as const] : [])))

/** Sums what is counted under the same name. */
export const tally = (counted: Iterable<readonly [string, number]>): Readonly<Record<string, number>> => {
  const sums = new Map<string, number>()
  for (const [name, count] of counted) if (count > 0) sums.set(name, (sums.get(name) ?? 0) + count)
  return Object.fromEntries([...sums].toSorted(([, one], [, other]) => other - one))
}

const runOf = (
  dice: Dice,
  pieces: ReadonlyArray<Piece>,
  events: Array<QueryEvent.QueryEvent>,
  report: (wrong: string) => void
) => {
  const options = {
    concurrency: dice.between(2, 10),
    onEvent: (event: QueryEvent.QueryEvent) => void events.push(event),
    ...(dice.chance(0.15) ? { deadline: dice.between(100, 600) } : {}),
    ...(dice.chance(0.15) ? { queueTimeout: dice.between(50, 300) } : {})
  }
  const effects = pieces.map((piece) => piece.effect)
  if (dice.chance(0.5)) return QueryPool.report(effects, options)
  return Effect.map(QueryPool.all(effects, { ...options, mode: "outcome" }), (outcomes) => {
    const ends = endsOf(events)
    outcomes.forEach((outcome, index) => {
      const { announced = false, name = "" } = pieces[index] ?? {}
      const end = ends.get(name)
      // A stream that is left early by its reader has a result of its own.
      if (announced && end?.outcome !== outcome._tag)
        report(`${name}: ${outcome._tag}, but its event says ${end?.outcome}`)
    })
  })
}
