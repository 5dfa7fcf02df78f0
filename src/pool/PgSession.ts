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
import type { Scope } from "effect"
import { Cause, Context, Effect, Exit, Predicate, Stream } from "effect"
import type { TransactionConnection } from "effect/sql/SqlClient"
import type { Connection as SqlConnection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import type { QueryInfo, RowReceiver, Unit } from "../query/QueryPool.ts"
import * as PgCopy from "./PgCopy.ts"
import { isAnswered, isConnectionGone, outcomeOf } from "./PgErrors.ts"
import { PgArrivals } from "./PgArrivals.ts"
import { PgLedger } from "./PgLedger.ts"
import type { TransactionId } from "./PgLostCommit.ts"
import { readId } from "./PgLostCommit.ts"
import { givenUp, rejection, streamOpen } from "./PgRefusal.ts"
import type { Verdict } from "./PgResidue.ts"
import { verdictOf } from "./PgResidue.ts"
import { reset } from "./PgReset.ts"
import type { PgSnapshot } from "./PgSnapshot.ts"
import { beginReading } from "./PgSnapshot.ts"
import type { Tags } from "./PgTags.ts"
import { clientRollback, outside, PgTurns } from "./PgTurns.ts"
import type { ServerConnection } from "./ServerConnection.ts"

type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/**
 * Where effect/sql keeps the transaction that a fiber is in. Each pool has a key of its own.
 *
 * @internal
 */
export type TransactionKey = Context.Service<TransactionConnection, TransactionConnection.Service>

/** What effect/sql begins a transaction with: its own word, or the user's `BeginTransaction`. */
const begin = /^\s*(?:begin|start)\b/i

/** The statements by which effect/sql opens and closes savepoints. */
const savepoint = /^(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) effect_sql_(\d+)$/

/**
 * In whose name a session is lent.
 *
 * @internal
 */
export interface QueryName extends Pick<QueryInfo, "name" | "origin"> {
  readonly options?: Pick<QueryInfo["options"], "mode"> | undefined
}

/**
 * One for each query, so what is seldom asked for is made when it is: as fields, its effects were a tenth of the time
 * of a lookup.
 *
 * @internal
 */
export class PgSession implements SqlConnection, Unit {
  readonly query: QueryName
  readonly connection: ServerConnection
  /** When it was lent, in milliseconds of the clock. */
  readonly since: number
  readonly turns = new PgTurns()
  /** What the unit has done to the database. */
  readonly ledger = new PgLedger()
  /** The latest statement of the unit's own, for its errors: what begins and ends a transaction is none. */
  sql: string | undefined
  parameters: ReadonlyArray<unknown> | undefined
  traceparent: string | undefined
  /** What stands behind the unit's statements. */
  tags: Tags | undefined
  /** Whether a COMMIT whose answer is lost is to be looked up: the unit could be tried again then. */
  looksUp = false
  committing = false
  columns: Unit["columns"]
  command: string | undefined
  onNotice: Unit["onNotice"]
  onCancelled: Unit["onCancelled"]
  private readonly transaction: TransactionKey
  /** Rows that the driver has given. */
  private received = 0
  private arrivals: PgArrivals | undefined
  /** What the statements so far may have left behind. */
  private dirty = false
  private unfit = false
  /** The next BEGIN is the client's own. */
  private beginning = false
  /** Its one transaction sees a snapshot, and another one would not. */
  private reading = false
  private streaming = false
  /** The latest statement of all. */
  private sent: string | undefined
  private stuck = false
  private finished = false
  /** The latest statement never left, as its connection was gone before: it leaves no question open. */
  private unsendable = false
  /** The latest statement was interrupted. */
  private interrupted = false

  constructor(query: QueryName, connection: ServerConnection, transaction: TransactionKey, since: number) {
    this.query = query
    this.since = since
    this.connection = connection
    this.transaction = transaction
    connection.observed.session = this
  }

  get rows(): number {
    return this.received + (this.arrivals?.rows ?? 0)
  }

  countArriving(): void {
    this.arrivals ??= new PgArrivals(this.connection)
  }

  onColumns(columns: NonNullable<Unit["columns"]>): void {
    this.columns = columns
  }

  onCommand(tag: string): void {
    this.command = tag
  }

  /** The defect of whoever uses the session after its unit's end. */
  over(): Effect.Effect<never> | undefined {
    if (!this.finished) return undefined
    return Effect.die(
      new Error(
        `The session of query "${this.query.name}" was used after that query had ended. ` +
          `Does a fiber that was forked in its body outlive it?`
      )
    )
  }

  /** Why no statement may run now, if none may. */
  private refusal(): Effect.Effect<never, SqlError> | undefined {
    if (this.finished) return this.over()
    if (this.stuck) return Effect.fail(givenUp())
    if (!this.streaming) return undefined
    return Effect.fail(streamOpen())
  }

  /**
   * Lets no statement run any more: a transaction could not be ended, so what is written now would seem to be kept and
   * be rolled back with it.
   */
  private giveUp(): void {
    this.stuck = true
    this.connection.retired = "transaction could not be ended"
    this.turns.giveUp()
  }

  /** What would be kept of the unit if it failed now. */
  get outcome(): Unit["outcome"] {
    return outcomeOf(this.ledger)
  }

  /** Notes a statement before it is sent: it may arrive though its answer never does. */
  private sending(sql: string, control: boolean): Verdict {
    const verdict = verdictOf(sql)
    if (verdict.residue === "unfit") this.unfit = true
    else if (verdict.residue === "session") this.dirty = true
    this.sent = sql
    // The ROLLBACK after an error would be shown as what the error is about.
    if (!control) this.sql = sql
    this.interrupted = false
    this.unsendable = this.connection.broken
    if (!this.unsendable) this.ledger.sent(verdict)
    this.columns = undefined
    this.command = undefined
    this.turns.started()
    return verdict
  }

  /** Notes how it ended. What was interrupted, or has lost its connection, has no answer. */
  private ended(verdict: Verdict, exit: Exit.Exit<unknown, unknown>): void {
    this.turns.ended()
    if (exit._tag === "Success") return this.ledger.succeeded(verdict)
    if (this.unsendable) return
    const failure = exit.cause.reasons.find(Cause.isFailReason)
    this.interrupted = failure === undefined
    if (failure === undefined) return
    // A stream's reader may come to the answer when the connection is gone already.
    const { error } = failure
    if (isAnswered(error) || (!this.connection.broken && !isConnectionGone(error))) this.ledger.refused(verdict)
  }

  /** The level that a fiber's statements belong to. */
  private levelOf(context: Context.Context<never>): number {
    const transaction = Context.getOrUndefined(context, this.transaction)
    return transaction?.[0] === this ? transaction[1] : outside
  }

  /** Goes on with `send` when the level of the fiber has its turn; what `send` does at once is in one step with that. */
  private inTurn<A, E, R>(send: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.withFiber((fiber) => {
      const level = this.levelOf(fiber.context)
      if (this.turns.isAt(level)) return send()
      const later: Effect.Effect<A, E, R> = Effect.suspend(() =>
        this.turns.isAt(level) ? send() : Effect.andThen(this.turns.wait(level), later)
      )
      return later
    })
  }

  /** Makes the transaction that has just begun see a snapshot, and keeps the unit in it. */
  join(snapshot: PgSnapshot): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      this.reading = true
      return snapshot.join(this.connection)
    })
  }

  /** Begins a transaction that sees a snapshot, and that ends with the unit. */
  read(snapshot: PgSnapshot): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      this.ledger.open = true
      return Effect.andThen(this.connection.pg.query(beginReading, [], false), this.join(snapshot))
    })
  }

  /** What the unit must not send, if this is such a statement. */
  private refused({ ends }: Verdict): Effect.Effect<never, SqlError> | undefined {
    if (!this.reading || !ends) return undefined
    const message = "a query that sees the snapshot of its run is one transaction, and cannot end it"
    return Effect.fail(rejection(message, "leave COMMIT and ROLLBACK out"))
  }

  /** One statement, from the check that it may run to the count of its rows. */
  private run<A>(
    sql: string,
    params: ReadonlyArray<unknown>,
    statement: (pg: PgConnection.PgConnection, sql: string, mayPrepare: boolean) => Effect.Effect<A, SqlError>,
    rowCount: (result: A) => number,
    control: boolean
  ): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      let sent: Verdict | undefined
      const send = (): Effect.Effect<A, SqlError> => {
        const refused = this.refusal() ?? (control ? undefined : this.refused(verdictOf(sql)))
        if (refused !== undefined) return refused
        sent = this.sending(sql, control)
        this.arrivals?.begin()
        if (control) return statement(this.connection.pg, sql, true)
        this.parameters = params
        const tagged = this.tags?.on(sql, this.query, this.traceparent)
        return statement(this.connection.pg, tagged?.sql ?? sql, tagged?.prepare ?? true)
      }
      // The end is in place before the beginning: an interruption may come between any two steps.
      return Effect.onExitPrimitive(control ? Effect.suspend(send) : this.inTurn(send), (exit) => {
        if (sent !== undefined) this.ended(sent, exit)
        const rows = exit._tag === "Success" ? rowCount(exit.value) : 0
        this.received += rows
        this.arrivals?.given(rows, this.turns.idle)
        return undefined
      })
    })
  }

  private result(sql: string, params: ReadonlyArray<unknown>, prepare: boolean, control = false) {
    return this.run(
      sql,
      params,
      (pg, tagged, mayPrepare) => pg.query(tagged, params, prepare && mayPrepare),
      (result) => result.rows.length,
      control
    )
  }

  private values(sql: string, params: ReadonlyArray<unknown>, prepare: boolean) {
    return this.run(
      sql,
      params,
      (pg, tagged, mayPrepare) => pg.queryValues(tagged, params, prepare && mayPrepare),
      (values) => values.length,
      false
    )
  }

  copyRows(sql: string, params: ReadonlyArray<unknown>, receiver: RowReceiver) {
    // Arriving rows are counted above the tap, where these do not come by.
    const counted = (rows: number): void => {
      this.received += rows
    }
    const columns: RowReceiver["columns"] = (described, flow) => {
      this.columns = described
      receiver.columns(described, flow)
    }
    // A new object for each statement: methods of a receiver that is a class keep their own `this`.
    const rows: RowReceiver["rows"] = (bytes, from, to) => receiver.rows(bytes, from, to)
    return this.run(
      sql,
      params,
      (_, tagged) => PgCopy.copy(this.connection, tagged, params, { columns, rows, counted }),
      () => 0,
      false
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

  executeUnprepared(
    sql: string,
    params: ReadonlyArray<unknown>,
    transformRows: TransformRows
  ): Effect.Effect<ReadonlyArray<unknown>, SqlError> {
    if (params.length === 0) {
      if (sql === clientRollback) return this.rollback
      if (this.beginning && begin.test(sql)) {
        this.beginning = false
        return Effect.as(this.result(sql, [], false, true), [])
      }
      const [, word, level] = savepoint.exec(sql) ?? []
      if (level !== undefined) return this.nested(sql, word, Number(level))
    }
    return Effect.map(this.result(sql, params, false), (result) =>
      transformRows === undefined ? result.rows : transformRows(result.rows)
    )
  }

  // effect/sql makes a defect of a ROLLBACK that fails, in place of the error that led to it. Closing the connection
  // rolls back as surely.
  private get rollback(): Effect.Effect<ReadonlyArray<unknown>, SqlError> {
    return Effect.suspend(() => {
      this.turns.end()
      return Effect.catch(Effect.as(this.result("ROLLBACK", [], false, true), []), () => this.givenUp)
    })
  }

  private get givenUp(): Effect.Effect<ReadonlyArray<unknown>> {
    return Effect.sync(() => {
      this.giveUp()
      return []
    })
  }

  private nested(
    sql: string,
    word: string | undefined,
    level: number
  ): Effect.Effect<ReadonlyArray<unknown>, SqlError> {
    const statement = Effect.as(this.result(sql, [], false, true), [])
    if (word === "SAVEPOINT") {
      const { entered, leave } = this.turns.enter(level)
      return Effect.onError(Effect.andThen(entered, statement), () => Effect.sync(leave))
    }
    if (word !== "RELEASE SAVEPOINT") return Effect.catch(statement, () => this.givenUp)
    return Effect.suspend(() => {
      this.turns.end()
      // It fails where a statement had failed and the error was handled: the transaction stays aborted, and says so to
      // the next statement and to its COMMIT. effect/sql would make a defect of it.
      return Effect.ensuring(
        Effect.orElseSucceed(statement, () => []),
        Effect.sync(() => this.turns.leave(level))
      )
    })
  }

  /** Commits, unprepared: the unit may have dropped the driver's prepared statements. */
  get commit() {
    return Effect.suspend(() => {
      const refused = this.refusal()
      if (this.streaming) this.giveUp()
      this.turns.end()
      if (refused !== undefined) return refused
      this.committing = true
      return this.result("COMMIT", [], false, true)
    })
  }

  /** What the open transaction can be asked about by; `null` when it has written nothing, `undefined` if unknown. */
  get transactionId(): Effect.Effect<TransactionId | null | undefined> {
    return Effect.suspend(() => {
      this.turns.end()
      // A transaction that has failed answers with an error, and its COMMIT with ROLLBACK.
      return Effect.orElseSucceed(
        Effect.map(this.connection.pg.queryValues(readId, []), ([row]) => {
          const [xid, timeline] = row ?? []
          if (xid === null) return null
          return Predicate.isString(xid) && Predicate.isString(timeline) ? { xid, timeline } : undefined
        }),
        () => undefined
      )
    })
  }

  executeStream(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return Stream.unwrap(
      Effect.suspend(() => {
        let sent: Verdict | undefined
        let complete = false
        const close = (exit: Exit.Exit<unknown, unknown>) =>
          Effect.sync(() => {
            if (sent === undefined) return
            this.streaming = false
            // A stream that was left early is cut off: whether its statement completed is not known.
            this.ended(sent, exit._tag === "Success" && !complete ? Exit.interrupt() : exit)
          })
        const opened = this.inTurn(() => {
          const refused = this.refusal() ?? this.refused(verdictOf(sql))
          if (refused !== undefined) return refused
          sent = this.sending(sql, false)
          this.parameters = params
          this.streaming = true
          return Effect.void
        })
        const tagged = this.tags?.on(sql, this.query, this.traceparent).sql ?? sql
        const rows = this.connection.pg.stream(tagged, params).pipe(
          Stream.mapArray((rows) => {
            this.received += rows.length
            return transformRows === undefined ? rows : (transformRows(rows) as typeof rows)
          }),
          Stream.onEnd(
            Effect.sync(() => {
              complete = true
            })
          )
        )
        return Effect.as(Effect.andThen(Effect.addFinalizer(close), opened), rows)
      })
    )
  }

  /** Takes a turn that lasts for a transaction, until the scope closes. */
  get beginTransaction(): Effect.Effect<this, SqlError, Scope.Scope> {
    return Effect.suspend(() => {
      const refused = this.finished || this.stuck ? this.refusal() : undefined
      if (refused !== undefined) return refused
      const { entered, leave } = this.turns.enter(0)
      return Effect.addFinalizer(() => Effect.sync(leave)).pipe(
        Effect.andThen(entered),
        Effect.map(() => {
          this.beginning = true
          return this
        })
      )
    })
  }

  /** The statement that was interrupted has not completed: the server said that it stopped it. */
  stopped(): void {
    // The cancel may have been for an earlier statement of a unit that went on: of this one it says nothing.
    if (this.interrupted && this.sent !== undefined) this.ledger.refused(verdictOf(this.sent))
  }

  /** Whether a transaction could still be rolled back; where none can, nobody is to wait for its end. */
  hasTransaction(): boolean {
    if (!this.connection.broken) return true
    this.turns.giveUp()
    return false
  }

  /** Ends the unit's ownership. Gives what is left to do before the connection can serve the next unit. */
  end(alwaysReset: boolean): Effect.Effect<void> | undefined {
    this.finished = true
    const { connection } = this
    // What the server says of the clean-up is not for the query.
    connection.observed.session = undefined
    if (!this.turns.idle) {
      connection.retired = "statement under way"
      return connection.pg.interrupt
    }
    // What was cancelled does not come back; closing it rolls back as surely.
    if (connection.broken || connection.cancelSent) return undefined
    if (this.unfit) {
      connection.retired = "state that cannot be reset"
      return undefined
    }
    const left = { transaction: this.ledger.open, state: this.dirty || alwaysReset }
    return left.transaction || left.state ? reset(connection, left) : undefined
  }
}
