/**
 * The control connection: where the pool asks about backends and signals them, outside of its own connections, so that
 * a pool with nothing free can still cancel.
 *
 * - One for the pool, opened when the first question comes and closed a minute after the last, or with the pool.
 * - Questions that come while one is under way, or while the connection opens, travel together: a hundred cancels take
 *   one connection and a few round trips.
 * - A backend is named by pid and start, so that a process that got the pid of another is left alone.
 * - A question has no answer when the connection cannot be opened or breaks; the next one opens another. Who asks has
 *   to bound the wait.
 *
 * @internal
 */
import { Deferred, Duration, Effect, Fiber } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Backend, ServerConnection } from "./ServerConnection.ts"

/**
 * `cancel` cancels what the backend is doing, if it is doing anything; `terminate` ends it whatever it does; `look`
 * changes nothing.
 */
type Ask = "cancel" | "terminate" | "look"

/** @internal */
export type Answer = "idle" | "working" | "gone"

interface Question {
  readonly backend: Backend
  readonly ask: Ask
  readonly answer: Deferred.Deferred<Answer | undefined>
}

/** Longer than any answer of a server that can be reached: then the connection is given up. */
const answerLimitMillis = 5_000

const defaultIdleTimeout = Duration.minutes(1)

/** @internal */
export class PgControl {
  private readonly connect: Effect.Effect<ServerConnection, SqlError>
  private readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  private readonly idleMillis: number
  private connection: ServerConnection | undefined
  private questions: Array<Question> = []
  private serving: Fiber.Fiber<void> | undefined
  private idleTimer: ReturnType<typeof setTimeout> | undefined
  private closed = false

  constructor(options: {
    readonly connect: Effect.Effect<ServerConnection, SqlError>
    readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
    readonly idleTimeout?: Duration.Duration | undefined
  }) {
    this.connect = options.connect
    this.fork = options.fork
    this.idleMillis = Duration.toMillis(options.idleTimeout ?? defaultIdleTimeout)
  }

  /** Gives what the backend was doing when it was asked for; undefined if that cannot be found out. */
  ask(backend: Backend, ask: Ask): Effect.Effect<Answer | undefined> {
    return Effect.suspend(() => {
      if (this.closed) return Effect.undefined
      const question: Question = { backend, ask, answer: Deferred.makeUnsafe() }
      this.questions.push(question)
      clearTimeout(this.idleTimer)
      this.serving ??= this.fork(this.serve)
      return Effect.onInterrupt(Deferred.await(question.answer), () =>
        Effect.sync(() => {
          // A cancel that nobody waits for any more has nothing left to cancel. A backend still has to go.
          if (ask !== "terminate") this.questions = this.questions.filter((other) => other !== question)
        })
      )
    })
  }

  private readonly serve: Effect.Effect<void> = Effect.suspend(() => {
    let asked: ReadonlyArray<Question> = []
    const step = Effect.gen({ self: this }, function* () {
      const connection = this.connection ?? (yield* this.opened)
      // Those who ask in the same moment are to be asked for in one statement.
      yield* Effect.yieldNow
      asked = this.questions
      this.questions = []
      yield* connection.within(answerLimitMillis, answerAll(connection, asked))
    })
    const unanswered = Effect.suspend(() => {
      const all = [...asked, ...this.questions]
      this.questions = []
      for (const { answer } of all) Deferred.doneUnsafe(answer, Effect.undefined)
      return this.hangUp
    })
    const done = Effect.sync(() => {
      this.serving = undefined
      // An ask came in between the last look and this.
      if (this.questions.length > 0 && !this.closed) this.serving = this.fork(this.serve)
      else if (this.connection !== undefined) this.startIdle()
    })
    return Effect.whileLoop({
      while: () => this.questions.length > 0 && !this.closed,
      body: () =>
        Effect.catchCause(step, (cause) =>
          Effect.andThen(Effect.logDebug("The control connection failed", cause), unanswered)
        ),
      step: () => {}
    }).pipe(
      Effect.onInterrupt(() => unanswered),
      Effect.ensuring(done)
    )
  })

  private readonly opened: Effect.Effect<ServerConnection, SqlError> = Effect.uninterruptibleMask((restore) =>
    Effect.tap(restore(this.connect), (connection) =>
      Effect.sync(() => {
        this.connection = connection
        connection.onBroken(() => {
          if (this.connection === connection) this.connection = undefined
        })
      })
    )
  )

  private startIdle(): void {
    clearTimeout(this.idleTimer)
    this.idleTimer = setTimeout(() => this.fork(this.hangUp), this.idleMillis)
    // What is left to do is a courtesy: it is no reason to keep the process.
    this.idleTimer.unref()
  }

  private readonly hangUp: Effect.Effect<void> = Effect.suspend(() => {
    const { connection } = this
    this.connection = undefined
    return connection?.close ?? Effect.void
  })

  /** Ends it, with what is asked: nobody may be waiting for an answer any more. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.closed = true
    clearTimeout(this.idleTimer)
    const { serving } = this
    if (serving === undefined) return this.hangUp
    // Interrupted, a statement would wait for a server that may be out of reach; not so on a socket that is destroyed.
    this.connection?.destroy()
    return Effect.andThen(Fiber.interrupt(serving), this.hangUp)
  })
}

/** PostgreSQL 14's `pg_terminate_backend(pid, timeout)` would make every other question wait for its end. */
const statement = `select backend.pid is not null as found, backend.state like 'idle%' as idle,
    case when asked.ask = 'terminate' then pg_catalog.pg_terminate_backend(backend.pid)
         when asked.ask = 'cancel' and backend.state not like 'idle%' then pg_catalog.pg_cancel_backend(backend.pid)
    end as signalled
  from rows from (pg_catalog.unnest($1::int4[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]))
    with ordinality as asked (pid, started_at, ask, place)
  left join lateral (
    select pid, state from pg_catalog.pg_stat_get_activity(asked.pid)
    where extract(epoch from backend_start)::text = asked.started_at
  ) as backend on true
  order by place`

const answerAll = (connection: ServerConnection, asked: ReadonlyArray<Question>): Effect.Effect<void, SqlError> =>
  asked.length === 0
    ? Effect.void
    : Effect.map(
        connection.pg.query(
          statement,
          [
            asked.map(({ backend }) => backend.pid),
            asked.map(({ backend }) => backend.startedAt),
            asked.map(({ ask }) => ask)
          ],
          false
        ),
        ({ rows }) => {
          for (const [place, { answer }] of asked.entries()) {
            const row = rows[place]
            const said: Answer | undefined =
              row === undefined ? undefined : row["found"] !== true ? "gone" : row["idle"] === true ? "idle" : "working"
            Deferred.doneUnsafe(answer, Effect.succeed(said))
          }
        }
      )
