/**
 * One named unit of SQL work that is itself an Effect: `yield*` it, and it takes a slot and a session, runs, and gives
 * both back.
 *
 * - A query owns its session while it runs. What it changed there (a `SET`, a temporary table, a lock) is gone when
 *   the next one starts.
 * - A query that is yielded inside another query's body joins that query's session.
 * - `SqlError`s become `QueryError`s that name the query; the query's own errors stay as they are.
 *
 * @since 0.1.0
 */
import type { Option } from "effect"
import { Context, Effect, Effectable, Predicate, Schema, Stream } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Statement } from "effect/sql/Statement"
import { DecodeFailed, NoRows, QueryError, TooManyRows } from "./QueryError.ts"
import * as Attempts from "./Attempts.ts"
import * as Origin from "./Origin.ts"
import type { QueryInfo, Unit } from "./QueryPool.ts"
import { QueryPool, QueryTypeId } from "./QueryPool.ts"
import type { Known, RetryPolicy } from "./RetryPolicy.ts"
import type { Run } from "./Run.ts"
import { CurrentRun, streamed } from "./Run.ts"
import type { AnyFiber } from "./Spans.ts"
import type { Hand } from "./Trail.ts"
import { Watch } from "./Watch.ts"

/**
 * A named unit of SQL work.
 *
 * @since 0.1.0
 */
export interface Query<out A, out E = never, out R = never> extends Effect.Effect<A, E, R | QueryPool>, QueryInfo {
  readonly [QueryTypeId]: unknown
}

/**
 * What can be said of a query beside its SQL. A query that joins another one's session is part of that one: of these
 * only `mode: "transaction"` (a savepoint) and `timeout` count for it.
 *
 * @since 0.1.0
 */
export interface Options<in E = never> extends Omit<QueryInfo["options"], "retry" | "lane"> {
  /**
   * Which failures are tried again, how often and when. None by default. The whole query is tried again, on a fresh
   * session, and only when nothing of the failed attempt is kept: in `autocommit` mode a statement that completed may
   * have written, so say `mode: "readOnly"` for queries that only read, `"transaction"` for those that write, or
   * `idempotent` where twice is as good as once.
   */
  readonly retry?: RetryPolicy<E> | undefined
}

/**
 * What can be said of a query of one statement.
 *
 * @since 0.1.0
 */
export interface FindOptions extends Omit<Options<QueryError>, "mode"> {
  readonly mode?: Options["mode"]
  /**
   * `pinned` (the default) gives the query a session of its own. `pipelined` is for very many small ones: its statement
   * shares a connection with others and is sent without waiting for their answers, for two to three times as many in
   * the same time.
   *
   * - Nothing can be cancelled there. An interruption or a timeout only ends the waiting; the server stops a statement
   *   that takes longer than the pool's `pipelinedTimeout`.
   * - Answers come in the order of sending, so a slow statement delays those behind it: the log names one that does.
   * - The statement must leave its session as it was, and cannot be a transaction: `mode` is `autocommit` or `readOnly`.
   * - In a run with a snapshot, and within another query's body, it runs as if it were pinned.
   */
  readonly lane?: "pinned" | "pipelined" | undefined
}

type Body = (sql: SqlClient, unit: Unit) => Effect.Effect<unknown, unknown, unknown>

/** A class, so that its instances share a shape: queries are made by the hundred thousand. */
class QueryImpl {
  readonly name: string
  readonly body: Body
  readonly options: QueryInfo["options"]

  constructor(name: string, body: Body, options: QueryInfo["options"]) {
    this.name = name
    this.body = body
    this.options = options
  }

  get origin(): string | undefined {
    return Origin.of(this.name)
  }

  [QueryTypeId](pool: QueryPool["Service"], run: Run, holdsSlot: boolean, submittedAt?: number, by?: Hand | AnyFiber) {
    return Attempts.inRun(pool, run, this, this.body, holdsSlot, submittedAt, by)
  }
}

const proto = {
  ...Effectable.Prototype<QueryImpl & Effect.Effect<unknown, unknown, unknown>>({
    label: "Query",
    evaluate(fiber) {
      const { context } = fiber
      const pool = Context.getUnsafe(context, QueryPool)
      const run = Context.get(context, CurrentRun)
      if (pool.within(context) !== undefined) return Attempts.joined(pool, this, this.body, fiber)
      return run === undefined
        ? Attempts.alone(pool, this, this.body, fiber)
        : // Its body stands outside of the run: a query of another pool in it must not wait for a second slot.
          Effect.provideService(this[QueryTypeId](pool, run, false, undefined, fiber), CurrentRun, undefined)
    }
  }),
  toJSON(this: QueryImpl) {
    return { _id: "Query", name: this.name, options: this.options }
  }
}
Object.defineProperties(QueryImpl.prototype, Object.getOwnPropertyDescriptors(proto))

const noOptions: QueryInfo["options"] = {}

/**
 * A query made of any effect over its own session.
 *
 * `sql` is the pool's client; inside the body its statements run on the query's session, and so do those of every
 * repository that captured the same client. `unit` tells of the running query. Fails with `QueryError` where the body
 * fails with `SqlError`.
 *
 * @since 0.1.0
 */
export const make = <A, E, R>(
  name: string,
  body: (sql: SqlClient, unit: Unit) => Effect.Effect<A, E, R>,
  options?: Options<Known<Exclude<E, SqlError> | QueryError>>
): Query<A, Exclude<E, SqlError> | QueryError, R> => {
  Origin.note(name)
  // The prototype makes an Effect of it, which the class does not say; and the pool makes QueryErrors of SqlErrors.
  return new QueryImpl(name, body, options ?? noOptions) as object as Query<A, Exclude<E, SqlError> | QueryError, R>
}

/**
 * Whether a value is a query.
 *
 * @since 0.1.0
 */
export const isQuery = (u: unknown): u is Query<unknown, unknown, unknown> => Predicate.hasProperty(u, QueryTypeId)

/**
 * SQL with its parameters: a statement of effect/sql, or what a query builder compiles to (`compile()` of Kysely gives
 * `parameters`, `toSQL()` of Drizzle gives `params`).
 *
 * @since 0.1.0
 */
export type Sql =
  | Statement<unknown>
  | { readonly sql: string; readonly parameters: ReadonlyArray<unknown> }
  | { readonly sql: string; readonly params: ReadonlyArray<unknown> }

/**
 * A query by its statement and the shape of its rows.
 *
 * @since 0.1.0
 */
export interface Find<S extends Schema.Constraint> {
  readonly name: string
  /** The shape of one row: decodes what the driver gives for it. */
  readonly schema: S
  readonly statement: (sql: SqlClient) => Sql
}

const rowsOf = (sql: SqlClient, unit: Unit, statement: Sql): Effect.Effect<ReadonlyArray<unknown>, SqlError> => {
  return unit.send === undefined ? toStatement(sql, statement) : unit.send(...compiled(statement))
}

/**
 * As the server gets it.
 *
 * @internal
 */
export const compiled = (statement: Sql): readonly [sql: string, parameters: ReadonlyArray<unknown>] => {
  if (!("sql" in statement)) return statement.compile()
  return [statement.sql, "params" in statement ? statement.params : statement.parameters]
}

/** What cannot be is said where the query is made. */
const checked = (options: FindOptions | undefined): FindOptions | undefined => {
  if (options?.lane === "pipelined" && options.mode === "transaction") {
    throw new RangeError('Expected `mode` to be "autocommit" or "readOnly" with `lane: "pipelined"`, got "transaction"')
  }
  return options
}

const toStatement = (sql: SqlClient, statement: Sql): Statement<unknown> => {
  return "sql" in statement ? sql.unsafe(...compiled(statement)) : statement
}

/**
 * All rows. Fails with `QueryError`, reason `DecodeFailed` when a row does not fit the schema.
 *
 * @since 0.1.0
 */
export const findAll = <S extends Schema.Constraint>(
  find: Find<S>,
  options?: FindOptions
): Query<ReadonlyArray<S["Type"]>, QueryError, S["DecodingServices"]> =>
  make(find.name, allRows(find), checked(options))

/**
 * All rows of a statement, each as its schema has it.
 *
 * @internal
 */
export const allRows = <S extends Schema.Constraint>(find: Find<S>) => {
  const decode = decoderOf(find.schema, "rows")
  return (
    sql: SqlClient,
    unit: Unit
  ): Effect.Effect<ReadonlyArray<S["Type"]>, QueryError | SqlError, S["DecodingServices"]> =>
    Effect.flatMap(rowsOf(sql, unit, find.statement(sql)), (rows) =>
      Effect.mapError(decode(rows), decodeFailed(find.name, unit))
    )
}

/**
 * The only row. Fails with `QueryError`, reason `NoRows`, `TooManyRows` or `DecodeFailed`.
 *
 * @since 0.1.0
 */
export const findOne = <S extends Schema.Constraint>(
  find: Find<S>,
  options?: FindOptions
): Query<S["Type"], QueryError, S["DecodingServices"]> => {
  const decode = decodeRow(find)
  return make(
    find.name,
    (sql, unit) =>
      Effect.flatMap(rowsOf(sql, unit, find.statement(sql)), (rows) => {
        if (rows.length === 1) return decode(rows[0], unit)
        return Effect.fail(
          ofRows(find.name, unit, rows.length === 0 ? new NoRows() : new TooManyRows({ count: rows.length }))
        )
      }),
    checked(options)
  )
}

/**
 * The only row, or none. Fails with `QueryError`, reason `TooManyRows` or `DecodeFailed`.
 *
 * @since 0.1.0
 */
export const findOneOption = <S extends Schema.Constraint>(
  find: Find<S>,
  options?: FindOptions
): Query<Option.Option<S["Type"]>, QueryError, S["DecodingServices"]> => {
  const decode = decodeRow(find)
  return make(
    find.name,
    (sql, unit) =>
      Effect.flatMap(rowsOf(sql, unit, find.statement(sql)), (rows) => {
        if (rows.length === 0) return Effect.succeedNone
        if (rows.length === 1) return Effect.asSome(decode(rows[0], unit))
        return Effect.fail(ofRows(find.name, unit, new TooManyRows({ count: rows.length })))
      }),
    checked(options)
  )
}

/**
 * The rows as a stream, with backpressure down to the socket: a slow reader makes the server wait. The query takes its
 * session when the stream starts and gives it back when it ends, fails or is left early.
 *
 * Whoever runs queries for its rows needs more sessions than there are streams open: a pool of five connections and
 * five streams has none left for them.
 *
 * @since 0.1.0
 */
export const stream = <S extends Schema.Constraint>(
  find: Find<S>,
  options?: StreamOptions
): Stream.Stream<S["Type"], QueryError, S["DecodingServices"] | QueryPool> => {
  Origin.note(find.name)
  return streamOf(find.name, rowStream(find), options)
}

/**
 * The rows of a statement, each as its schema has it.
 *
 * @internal
 */
export const rowStream = <S extends Schema.Constraint>(find: Find<S>) => {
  const decode = decoderOf(find.schema, "chunk")
  return (sql: SqlClient, unit: Unit): Stream.Stream<S["Type"], QueryError | SqlError, S["DecodingServices"]> =>
    Stream.mapArrayEffect(toStatement(sql, find.statement(sql)).stream, (chunk) =>
      Effect.mapError(decode(chunk), decodeFailed(find.name, unit))
    )
}

/**
 * As `stream`, for rows that come in any way from a session.
 *
 * @internal
 */
export const streamOf = <A, E, R>(
  name: string,
  rows: (sql: SqlClient, unit: Unit) => Stream.Stream<A, E, R>,
  options?: StreamOptions
): Stream.Stream<A, Exclude<E, SqlError> | QueryError, R | QueryPool> => {
  const query: QueryInfo = { name, origin: Origin.of(name), options: options ?? noOptions }
  return Stream.unwrap(
    Effect.gen(function* () {
      const context = yield* Effect.context<QueryPool>()
      const pool = Context.get(context, QueryPool)
      const joins = pool.within(context) !== undefined
      const run = joins ? undefined : Context.get(context, CurrentRun)
      if (run?.snapshot !== undefined && Attempts.isMadeToWrite(query)) return Stream.fail(Attempts.refused(query))
      const fiber = yield* Effect.withFiber((own) => Effect.succeed(own))
      const alone = { listener: undefined, watch: Watch.of(fiber, pool.telemetry) }
      const life = yield* streamed(run ?? alone, query, { fiber, joins })
      const begun = (sql: SqlClient, unit: Unit) => {
        life?.started(unit, 1)
        return rows(sql, unit)
      }
      const told = pool.stream(query, begun, run?.snapshot === undefined ? undefined : { snapshot: run.snapshot.get })
      return life === undefined ? told : life.streaming(told)
    })
  )
}

/**
 * What can be said of a stream of rows. There is no retry: rows that were given cannot be taken back; and no timeout:
 * how long a stream takes is its reader's choice. `Effect.timeout` around what reads it bounds that; `Stream.timeout`
 * would end the rows without an error, as if there were no more.
 *
 * @since 0.1.0
 */
export type StreamOptions = Pick<QueryInfo["options"], "mode">

const ofRows = (query: string, unit: Unit, reason: NoRows | TooManyRows | DecodeFailed): QueryError =>
  new QueryError({
    query,
    attempt: 1,
    origin: Origin.of(query),
    reason,
    connection: "usable",
    outcome: unit.outcome
  })

const decodeFailed = (name: string, unit: Unit) => (error: Schema.SchemaError) =>
  ofRows(name, unit, new DecodeFailed({ message: error.message }))

const decodeRow = <S extends Schema.Constraint>(find: Find<S>) => {
  const decode = decoderOf(find.schema, "row")
  return (row: unknown, unit: Unit) => Effect.mapError(decode(row), decodeFailed(find.name, unit))
}

const makeDecoders = <S extends Schema.Constraint>(schema: S) => ({
  row: Schema.decodeUnknownEffect(schema),
  rows: Schema.decodeUnknownEffect(Schema.Array(schema)),
  chunk: Schema.decodeUnknownEffect(Schema.NonEmptyArray(schema))
})

/** Schemas are few and decoders are dear: making one for each of 30,000 lookups took a tenth of their time. */
const decoders = new WeakMap<object, object>()

const decoderOf = <S extends Schema.Constraint, Shape extends keyof ReturnType<typeof makeDecoders<S>>>(
  schema: S,
  shape: Shape
): ReturnType<typeof makeDecoders<S>>[Shape] => {
  // What is kept under a schema was made from it.
  const known = decoders.get(schema) as ReturnType<typeof makeDecoders<S>> | undefined
  if (known !== undefined) return known[shape]
  const made = makeDecoders(schema)
  decoders.set(schema, made)
  return made[shape]
}
