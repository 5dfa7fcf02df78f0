/**
 * A session that is made up: a connection of effect/sql whose statements a script answers.
 *
 * It keeps the rules that a session on PostgreSQL has, since code breaks them by mistake:
 *
 * - A statement while a stream of rows is open is refused (`SessionBusy`).
 * - A statement after the query's end is a defect.
 * - After a failed statement a transaction is aborted: each statement is refused (25P02) until a ROLLBACK, also one to a
 *   savepoint, and its COMMIT fails.
 * - After a lost connection each statement fails as that one did.
 *
 * Beginning and ending transactions is never scripted: it succeeds, unless the connection is lost. Two fibers of one query
 * do not take turns here.
 *
 * @internal
 */
import type { Exit, Fiber } from "effect"
import { Cause, Effect, Stream } from "effect"
import type { Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { isConnectionGone, outcomeOf } from "../pool/PgErrors.ts"
import { PgLedger } from "../pool/PgLedger.ts"
import { streamOpen } from "../pool/PgRefusal.ts"
import type { Verdict } from "../pool/PgResidue.ts"
import { verdictOf } from "../pool/PgResidue.ts"
import type { Unit } from "../query/Unit.ts"
import { sqlState, toSqlError } from "./Failure.ts"
import type { Book } from "./Ledger.ts"
import type { Answer, Prompter, Statement } from "./Script.ts"
import { rowsOf, streamOf } from "./Script.ts"

/** What effect/sql begins and ends transactions and savepoints with. */
const control = /^\s*(?:(?:begin|start)\b|(?:commit|rollback)$|(?:savepoint|release savepoint|rollback to savepoint) )/i
const rollbackTo = /^rollback to savepoint /i

const aborted = () =>
  toSqlError(
    sqlState("25P02", {
      message: "current transaction is aborted, commands ignored until end of transaction block"
    })
  )

/** The name of the query that a fiber is in: it may be one that joined the session. */
type NameOf = (fiber: Fiber.Fiber<unknown, unknown>) => string | undefined

/** @internal */
export class ScriptedSession implements Connection, Unit {
  readonly query: string
  readonly number: number
  readonly ledger = new PgLedger()
  rows = 0
  readonly columns = undefined
  readonly command = undefined
  sql: string | undefined
  parameters: ReadonlyArray<unknown> | undefined
  traceparent: string | undefined
  onNotice: Unit["onNotice"]
  onCancelled: Unit["onCancelled"]
  committing = false
  /** Whether a statement was interrupted: the server was asked to stop it. */
  cancelled = false
  private readonly prompter: Prompter
  private readonly book: Book
  private readonly nameOf: NameOf
  private lost: SqlError | undefined
  private isAborted = false
  private isStreaming = false
  private isFinished = false

  constructor(query: string, number: number, prompter: Prompter, book: Book, nameOf: NameOf) {
    this.query = query
    this.number = number
    this.prompter = prompter
    this.book = book
    this.nameOf = nameOf
  }

  get outcome(): Unit["outcome"] {
    return outcomeOf(this.ledger)
  }

  /** Whether a transaction could still be rolled back. */
  get isConnected(): boolean {
    return this.lost === undefined
  }

  readonly copyRows: Unit["copyRows"] = () =>
    Effect.die(new Error(`Query "${this.query}" copies rows as bytes, which TestQueryPool cannot make up`))

  over(): Effect.Effect<never> | undefined {
    if (!this.isFinished) return undefined
    return Effect.die(
      new Error(
        `The session of query "${this.query}" was used after that query had ended. ` +
          `Does a fiber that was forked in its body outlive it?`
      )
    )
  }

  private refusal(): Effect.Effect<never, SqlError> | undefined {
    if (this.isFinished) return this.over()
    if (this.lost !== undefined) return Effect.fail(this.lost)
    if (this.isStreaming) return Effect.fail(streamOpen())
    return this.isAborted ? Effect.fail(aborted()) : undefined
  }

  private begin(sql: string, params: ReadonlyArray<unknown>, query: string): readonly [Verdict, Answer] {
    const statement: Statement = this.prompter.numbered({ query, sql, parameters: params, session: this.number })
    this.book.statements.push(statement)
    this.sql = sql
    this.parameters = params
    const verdict = verdictOf(sql)
    this.ledger.sent(verdict)
    return [verdict, this.prompter.answer(statement)]
  }

  private ended(verdict: Verdict, exit: Exit.Exit<unknown, unknown>): void {
    if (exit._tag === "Success") return this.ledger.succeeded(verdict)
    const error = exit.cause.reasons.find(Cause.isFailReason)?.error
    if (error instanceof SqlError && isConnectionGone(error)) {
      this.lost = error
      return
    }
    // A server that is asked to stop a statement has stopped it when the query goes on.
    if (Cause.hasInterrupts(exit.cause)) this.cancelled = true
    this.ledger.refused(verdict)
    this.isAborted = this.ledger.open
  }

  private run(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<object>, SqlError> {
    return Effect.withFiber((fiber) => {
      const refused = this.refusal()
      if (refused !== undefined) return refused
      const [verdict, answer] = this.begin(sql, params, this.nameOf(fiber) ?? this.query)
      return Effect.onExitPrimitive(Effect.mapError(rowsOf(answer), toSqlError), (exit) => {
        this.ended(verdict, exit)
        if (exit._tag === "Success") this.rows += exit.value.length
        return undefined
      })
    })
  }

  readonly execute: Connection["execute"] = (sql, params) => this.run(sql, params)

  readonly executeRaw: Connection["executeRaw"] = (sql, params) =>
    Effect.map(this.run(sql, params), (rows) => ({ rows }))

  readonly executeValues: Connection["executeValues"] = (sql, params) =>
    Effect.map(this.run(sql, params), (rows) => rows.map((row) => Object.values(row)))

  readonly executeValuesUnprepared = this.executeValues

  readonly executeUnprepared: Connection["executeUnprepared"] = (sql, params) =>
    params.length === 0 && control.test(sql) ? this.controlled(sql) : this.run(sql, params)

  readonly executeStream: Connection["executeStream"] = (sql, params) =>
    Stream.unwrap(
      Effect.withFiber((fiber) => {
        const refused = this.refusal()
        if (refused !== undefined) return refused
        const [verdict, answer] = this.begin(sql, params, this.nameOf(fiber) ?? this.query)
        let isComplete = false
        this.isStreaming = true
        const rows = streamOf(answer).pipe(
          Stream.mapError(toSqlError),
          Stream.map((row) => {
            this.rows++
            return row
          }),
          Stream.onEnd(
            Effect.sync(() => {
              isComplete = true
            })
          )
        )
        const close = (exit: Exit.Exit<unknown, unknown>) =>
          Effect.sync(() => {
            this.isStreaming = false
            // One that was left early is cut off: whether its statement completed is not known.
            if (isComplete || exit._tag === "Failure") this.ended(verdict, exit)
          })
        return Effect.as(Effect.addFinalizer(close), rows)
      })
    )

  private controlled(sql: string): Effect.Effect<ReadonlyArray<object>, SqlError> {
    return Effect.suspend(() => {
      const refused = this.isFinished ? this.over() : this.lost === undefined ? undefined : Effect.fail(this.lost)
      if (refused !== undefined) return refused
      const verdict = verdictOf(sql)
      this.ledger.sent(verdict)
      this.ledger.succeeded(verdict)
      if (rollbackTo.test(sql)) this.isAborted = false
      if (verdict.ends) this.transactionEnded("rolledBack")
      return Effect.succeed([])
    })
  }

  /** Commits; a transaction that was aborted is rolled back, and says so. */
  readonly commit: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    this.committing = true
    if (this.isFinished) return this.over() ?? Effect.void
    if (this.lost !== undefined) return Effect.fail(this.lost)
    const wasAborted = this.isAborted
    const verdict = verdictOf(wasAborted ? "ROLLBACK" : "COMMIT")
    this.ledger.sent(verdict)
    this.ledger.succeeded(verdict)
    this.transactionEnded(wasAborted ? "rolledBack" : "committed")
    if (!wasAborted) return Effect.void
    const message = "The transaction was rolled back, not committed: one of its statements had failed"
    return Effect.fail(
      new SqlError({ reason: new UnknownError({ cause: new Error(message), message, operation: "commit" }) })
    )
  })

  private transactionEnded(end: "committed" | "rolledBack"): void {
    this.isAborted = false
    this.committing = false
    this.book.transactions.push({ query: this.query, end })
  }

  /** Nothing more may be sent. */
  finish(): void {
    this.isFinished = true
    if (this.cancelled) this.onCancelled?.({ how: "idle", tookMillis: 0 })
  }
}
