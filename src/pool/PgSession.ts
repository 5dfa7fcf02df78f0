/**
 * A session: the connection that a unit owns while it runs, as effect/sql sees a connection.
 *
 * - Statements of several fibers of the unit take turns; while one of them has a transaction open, the others wait.
 * - A statement while a stream of rows is open would wait for ever, so it is refused.
 * - A statement after the unit's end is a defect: the connection may be serving somebody else by then.
 * - At its end a session that may have left something behind is reset, so that the next one starts clean. What cannot
 *   be reset, or has a statement under way, does not come back.
 *
 *     owned --end--> clean ----------------------> lent again
 *                    dirty --reset succeeded-----> lent again
 *                    dirty --reset failed--------> closed
 *                    statement under way --------> cancelled, closed
 *
 * @internal
 */
import type { PgConnection } from "@effect/sql-pg"
import { Effect, Semaphore, Stream } from "effect"
import type { Connection as SqlConnection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import type { Unit } from "../query/QueryPool.ts"
import { StreamOpen } from "./PgErrors.ts"
import type { Residue } from "./PgResidue.ts"
import { residueOf } from "./PgResidue.ts"
import type { ServerConnection } from "./ServerConnection.ts"

type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/**
 * Undoes in one round trip what a unit may have left behind, and keeps the driver's prepared statements, which
 * DISCARD ALL would drop (0.25 ms; seven statements of their own: 0.56 ms).
 */
const resetSession = `DO $querypool$ declare prepared record; begin
  set session authorization default;
  reset role;
  reset all;
  execute 'close all';
  execute 'unlisten *';
  perform pg_catalog.pg_advisory_unlock_all();
  execute 'discard temp';
  execute 'discard sequences';
  for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
    execute pg_catalog.format('deallocate %I', prepared.name);
  end loop;
end $querypool$`

const rank = { none: 0, session: 1, transaction: 2, prepared: 3 } as const satisfies Record<Residue, number>

/** @internal */
export class PgSession implements SqlConnection, Unit {
  readonly query: string
  readonly connection: ServerConnection
  rows = 0
  columns: Unit["columns"]
  command: string | undefined
  onNotice: Unit["onNotice"]
  /** Held while a transaction is open, so that the unit's other fibers stay out of it. */
  readonly transaction = Semaphore.makeUnsafe(1)
  transactions = 0
  private residue: Residue = "none"
  private underWay = 0
  private streaming = false
  private ended = false

  constructor(query: string, connection: ServerConnection) {
    this.query = query
    this.connection = connection
    connection.observed.session = this
  }

  onColumns(columns: NonNullable<Unit["columns"]>): void {
    this.columns = columns
  }

  onCommand(tag: string): void {
    this.command = tag
  }

  /** The defect of whoever uses the session after its unit's end. */
  over(): Effect.Effect<never> | undefined {
    if (!this.ended) return undefined
    return Effect.die(
      new Error(
        `The session of query "${this.query}" was used after that query had ended. ` +
          `Does a fiber that was forked in its body outlive it?`
      )
    )
  }

  /** Why no statement may run now, if none may. */
  refusal(): Effect.Effect<never, SqlError> | undefined {
    if (this.ended) return this.over()
    if (!this.streaming) return undefined
    const cause = new StreamOpen()
    return Effect.fail(
      new SqlError({ reason: new UnknownError({ cause, message: cause.message, operation: "query" }) })
    )
  }

  private note(sql: string): void {
    const residue = residueOf(sql)
    if (rank[residue] > rank[this.residue]) this.residue = residue
  }

  /** One statement, from the check that it may run to the count of its rows. */
  private run<A>(
    sql: string,
    statement: (pg: PgConnection.PgConnection) => Effect.Effect<A, SqlError>,
    rowCount: (result: A) => number
  ): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      const refused = this.refusal()
      if (refused !== undefined) return refused
      this.note(sql)
      this.underWay++
      return Effect.onExitPrimitive(statement(this.connection.pg), (exit) => {
        this.underWay--
        if (exit._tag === "Success") this.rows += rowCount(exit.value)
        return undefined
      })
    })
  }

  private result(sql: string, params: ReadonlyArray<unknown>, prepare: boolean) {
    return this.run(
      sql,
      (pg) => pg.query(sql, params, prepare),
      (result) => result.rows.length
    )
  }

  private values(sql: string, params: ReadonlyArray<unknown>, prepare: boolean) {
    return this.run(
      sql,
      (pg) => pg.queryValues(sql, params, prepare),
      (values) => values.length
    )
  }

  execute(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return Effect.map(this.result(sql, params, true), (result) =>
      transformRows === undefined ? result.rows : transformRows(result.rows)
    )
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>) {
    return this.result(sql, params, true)
  }

  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.values(sql, params, true)
  }

  executeValuesUnprepared(sql: string, params: ReadonlyArray<unknown>) {
    return this.values(sql, params, false)
  }

  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    const rows = Effect.map(this.result(sql, params, false), (result) =>
      transformRows === undefined ? result.rows : transformRows(result.rows)
    )
    // effect/sql makes a defect of a ROLLBACK that fails, in place of the error that led to it. Closing the connection
    // rolls back as surely.
    return sql.startsWith("ROLLBACK")
      ? Effect.catch(rows, () =>
          Effect.sync(() => {
            this.connection.retired = "rollback failed"
            return []
          })
        )
      : rows
  }

  /** Commits, unprepared: the unit may have dropped the driver's prepared statements. */
  readonly commit = Effect.suspend(() => this.result("COMMIT", [], false))

  executeStream(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    const opened = Effect.acquireRelease(
      Effect.suspend(() => {
        const refused = this.refusal()
        if (refused !== undefined) return refused
        this.note(sql)
        this.streaming = true
        return Effect.void
      }),
      () =>
        Effect.sync(() => {
          this.streaming = false
        })
    )
    return Stream.unwrap(
      Effect.as(
        opened,
        Stream.mapArray(this.connection.pg.stream(sql, params), (rows) => {
          this.rows += rows.length
          return transformRows === undefined ? rows : (transformRows(rows) as typeof rows)
        })
      )
    )
  }

  /** Ends the unit's ownership. Gives what is left to do before the connection can serve the next unit. */
  end(alwaysReset: boolean): Effect.Effect<void> | undefined {
    this.ended = true
    const { connection } = this
    if (this.underWay > 0 || this.streaming) {
      connection.retired = "statement under way"
      return connection.pg.interrupt
    }
    if (connection.broken) return undefined
    if (this.residue === "prepared") {
      connection.retired = "prepared statements dropped"
      return undefined
    }
    return this.residue === "none" && !alwaysReset ? undefined : this.reset()
  }

  private reset(): Effect.Effect<void> {
    const { pg } = this.connection
    const reset = pg.query(resetSession, [], false)
    return Effect.ignore(
      Effect.tapCause(
        this.residue === "transaction" ? Effect.andThen(pg.query("ROLLBACK", [], false), reset) : reset,
        () =>
          Effect.sync(() => {
            this.connection.retired = "reset failed"
          })
      )
    )
  }
}
