/**
 * Faults on purpose: layers around a pool of queries or a store of tasks, in which what is executed fails, takes long,
 * hangs, or is done without anybody learning of it.
 *
 * ```ts
 * const pool = Layer.provideMerge(
 *   Faults.queries(
 *     [
 *       { query: "charge", nth: [1], fault: Faults.loseAnswer },
 *       { query: /^mail/, chance: 0.1, fault: Faults.fail(Faults.sqlState("40P01")) },
 *       { chance: 0.05, fault: Faults.delay("2 seconds") }
 *     ],
 *     { seed: 7, onFault: (fault) => faults.push(fault) }
 *   ),
 *   PgQueryPool.layer(config)
 * )
 * ```
 *
 * - The first rule that is for an execution is the one that counts. An outage is a rule with a `when` that a test turns
 *   true and false.
 * - The same seed has the same faults, in whatever order fibers come. A test that fails should print its seed.
 * - Around a pool on PostgreSQL, what is done is done there; around `TestQueryPool`, nothing is needed.
 * - Statements of a `SqlClient` outside of queries have none.
 *
 * @since 0.1.0
 */
import { Effect, Layer, Stream } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { QueryErrorReason } from "../query/QueryError.ts"
import { ConnectionLost, QueryError } from "../query/QueryError.ts"
import type { QueryInfo, Unit } from "../query/QueryPool.ts"
import { QueryPool } from "../query/QueryPool.ts"
import { isOfOpening } from "./Failure.ts"
import type { FailAfter, Fault, Options, Rule } from "./FaultRules.ts"
import { Judge } from "./FaultRules.ts"

export type { Said } from "./Failure.ts"
export { sqlState } from "./Failure.ts"
export type { Execution, FailAfter, Fault, Injected, Options, Rule } from "./FaultRules.ts"
export { delay, fail, failAfter, hang, loseAnswer } from "./FaultRules.ts"
export type { Operation, StoreRule } from "./FaultyStore.ts"
export { store } from "./FaultyStore.ts"

/**
 * What can happen to a query.
 *
 * @since 0.1.0
 */
export type QueryFault = Fault<QueryErrorReason> | FailAfter<QueryErrorReason>

/**
 * What happens to which queries.
 *
 * A query that is made to fail with `ConnectFailed`, `QueueFull` or `QueueTimeout` gets no session; with any other reason
 * it fails on its session.
 *
 * @since 0.1.0
 */
export interface QueryRule extends Rule<QueryFault> {
  /** The query's name, or what matches it. Default: all queries. */
  readonly query?: string | RegExp | undefined
}

/**
 * Has faults happen to the queries of the pool that it is provided with.
 *
 * @since 0.1.0
 */
export const queries = (
  rules: ReadonlyArray<QueryRule>,
  options: Options = {}
): Layer.Layer<QueryPool, never, QueryPool> => {
  const judge = new Judge<QueryFault, QueryRule>(rules, options)
  return Layer.effect(
    QueryPool,
    Effect.map(QueryPool, (pool) => wrapped(pool, (name) => judge.verdict(name, isFor(name))))
  )
}

const isFor =
  (name: string) =>
  ({ query }: QueryRule): boolean =>
    query === undefined || (typeof query === "string" ? query === name : name.search(query) >= 0)

/** A failure that is made up, with what the unit says of its work. */
const failureOf = (query: QueryInfo, reason: QueryErrorReason, outcome: QueryError["outcome"]): QueryError => {
  const gone = reason._tag === "ConnectionLost" || reason._tag === "ConnectFailed" || reason._tag === "TooBusy"
  return new QueryError({
    query: query.name,
    origin: query.origin,
    reason,
    connection: gone ? "gone" : "usable",
    outcome
  })
}

const answerLost = (query: QueryInfo): QueryError =>
  failureOf(query, new ConnectionLost({ message: "the connection was lost before the answer" }), "unknown")

const wrapped = (
  pool: QueryPool["Service"],
  verdict: (name: string) => Effect.Effect<QueryFault | undefined>
): QueryPool["Service"] => {
  const use: QueryPool["Service"]["use"] = <A, E, R>(
    query: QueryInfo,
    body: Parameters<typeof pool.use<A, E, R>>[1],
    terms: Parameters<typeof pool.use<A, E, R>>[2]
  ) => {
    const run = (body: Parameters<typeof pool.use<A, E | QueryError, R>>[1]) =>
      Effect.mapError(pool.use(query, body, terms), withoutSql<E>)
    // The body is made also where it is not run, which is when a query is told to have started.
    return Effect.flatMap(verdict(query.name), (fault): Effect.Effect<A, Exclude<E, SqlError> | QueryError, R> => {
      switch (fault?._tag) {
        case undefined:
          return pool.use(query, body, terms)
        case "Fail":
          return isOfOpening(fault.reason)
            ? Effect.fail(failureOf(query, fault.reason, "notApplied"))
            : run((sql, unit) => without(body(sql, unit), Effect.fail(failureOf(query, fault.reason, unit.outcome))))
        case "FailAfter":
          return run((sql, unit) => Effect.flatMap(body(sql, unit), () => failed(query, fault.reason, unit)))
        case "Delay":
          return run((sql, unit) => Effect.delay(body(sql, unit), fault.millis))
        case "Hang":
          return run((sql, unit) => without(body(sql, unit), Effect.never))
        case "LoseAnswer":
          return Effect.flatMap(pool.use(query, body, terms), () => Effect.fail(answerLost(query)))
      }
    })
  }

  const stream: QueryPool["Service"]["stream"] = <A, E, R>(
    query: QueryInfo,
    body: Parameters<typeof pool.stream<A, E, R>>[1],
    terms: Parameters<typeof pool.stream<A, E, R>>[2]
  ) => {
    const run = (body: Parameters<typeof pool.stream<A, E | QueryError, R>>[1]) =>
      Stream.mapError(pool.stream(query, body, terms), withoutSql<E>)
    return Stream.unwrap(
      Effect.map(verdict(query.name), (fault): Stream.Stream<A, Exclude<E, SqlError> | QueryError, R> => {
        switch (fault?._tag) {
          case undefined:
            return pool.stream(query, body, terms)
          case "Fail":
            return isOfOpening(fault.reason)
              ? Stream.fail(failureOf(query, fault.reason, "notApplied"))
              : run((sql, unit) => without(body(sql, unit), Stream.fromEffect(failed(query, fault.reason, unit))))
          case "FailAfter":
            return run((sql, unit) =>
              Stream.concat(body(sql, unit), Stream.fromEffect(failed(query, fault.reason, unit)))
            )
          case "Delay":
            return run((sql, unit) =>
              Stream.concat(Stream.fromEffectDrain(Effect.sleep(fault.millis)), body(sql, unit))
            )
          case "Hang":
            return run((sql, unit) => without(body(sql, unit), Stream.never))
          case "LoseAnswer":
            return Stream.concat(pool.stream(query, body, terms), Stream.fail(answerLost(query)))
        }
      })
    )
  }

  return QueryPool.of({ ...pool, use, stream })
}

/** When it comes to that, and by what the unit says then. */
const failed = (query: QueryInfo, reason: QueryErrorReason, unit: Unit): Effect.Effect<never, QueryError> =>
  Effect.suspend(() => Effect.fail(failureOf(query, reason, unit.outcome)))

/** Something else in place of what was made. */
const without = <A, B>(_: A, other: B): B => other

// That a QueryError is no SqlError is what the compiler cannot tell of an error type that it does not know.
const withoutSql = <E>(error: Exclude<E | QueryError, SqlError> | QueryError) =>
  error as Exclude<E, SqlError> | QueryError
