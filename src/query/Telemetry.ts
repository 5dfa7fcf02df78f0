/**
 * What a pool adds to the spans and metrics of its queries: the contract, and what is said of a failure.
 *
 * Spans and metrics follow OpenTelemetry's conventions for databases. A span never quotes a value: what a server says
 * may repeat one (`invalid input syntax for type integer: "…"`), so of a failure it tells the class and not the words,
 * unless the pool was asked for values.
 *
 * @internal
 */
import { Cause, Exit, Predicate } from "effect"
import { QueryError } from "./QueryError.ts"
import type { SpanQuota } from "./SpanQuota.ts"

/** @internal */
export interface Telemetry {
  /** What each span says of the server: `db.system.name`, `db.namespace`, `server.address`, `server.port`. */
  readonly attributes: Readonly<Record<string, unknown>>
  /** By which the spans are known that effect/sql makes for the pool's statements: their name, and their first attribute. */
  readonly ofClient: { readonly name: string; readonly mark: readonly [key: string, value: string] }
  /** How many queries have a span of their own, whatever becomes of them. */
  readonly quota: SpanQuota
  /** How many of the others, because of what became of them. */
  readonly remarkable: SpanQuota
  /** Whether values are told: those of parameters, and those that are in the server's words. */
  readonly values: boolean
  /** A statement without the constants that stand in it, unless it has parameters. */
  readonly textOf: (sql: string) => string
  /** The SQLSTATE of an error that a statement failed with. */
  readonly sqlStateOf: (error: unknown) => string | undefined
  readonly meter: Meter | undefined
}

/**
 * Who counts what queries do.
 *
 * @internal
 */
export interface Meter {
  readonly ended: (summary: string, seconds: number, failure: Failure | undefined) => void
  readonly retried: (failure: Failure) => void
}

/**
 * What is told of a failure.
 *
 * @internal
 */
export interface Failure {
  /** The SQLSTATE, or else the class of the error: few enough to count by. */
  readonly type: string
  readonly sqlState: string | undefined
  readonly message: string
}

/** What was interrupted has not failed, and took no usual time either. */
const cancelled: Failure = { type: "cancelled", sqlState: undefined, message: "cancelled" }

/** Reasons whose words are the pool's own: numbers, and no values. */
const ownWords: ReadonlySet<string> = new Set([
  "QueueFull",
  "QueueTimeout",
  "TimedOut",
  "SessionBusy",
  "NoRows",
  "TooManyRows"
])

/** @internal */
export const failureOf = (error: unknown, sqlStateOf?: Telemetry["sqlStateOf"]): Failure => {
  if (error instanceof QueryError) {
    const { reason } = error
    const sqlState = "sqlState" in reason ? reason.sqlState : undefined
    const condition = "condition" in reason ? reason.condition : undefined
    const message = ownWords.has(reason._tag) ? reason.message : (condition ?? reason._tag)
    return { type: sqlState ?? reason._tag, sqlState, message }
  }
  const sqlState = sqlStateOf?.(error)
  const name =
    Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag)
      ? error._tag
      : error instanceof Error
        ? error.name
        : "_OTHER"
  return { type: sqlState ?? name, sqlState, message: name }
}

/**
 * What is told of an exit, where it is no success.
 *
 * @internal
 */
export const failureOfExit = (
  exit: Exit.Exit<unknown, unknown>,
  sqlStateOf?: Telemetry["sqlStateOf"]
): Failure | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  return Cause.hasInterruptsOnly(exit.cause) ? cancelled : failureOf(Cause.squash(exit.cause), sqlStateOf)
}

/**
 * The exit that a span ends with: without the result, which exporters would keep until they have sent the span, and
 * without the words of an error, unless values are told.
 *
 * @internal
 */
export const exitOfSpan = (
  exit: Exit.Exit<unknown, unknown>,
  failure: Failure | undefined,
  { origin, values }: { readonly origin?: string | undefined; readonly values: boolean }
): Exit.Exit<unknown, unknown> => {
  if (failure === undefined || Exit.isSuccess(exit)) return Exit.void
  if (failure === cancelled || values) return exit
  const error = new Error(failure.message)
  error.name = failure.type
  error.stack =
    origin === undefined ? `${error.name}: ${error.message}` : `${error.name}: ${error.message}\n    at ${origin}`
  return Exit.fail(error)
}

const part = / \[(?:\d+\/\d+|plan)\]$/

/**
 * What `db.query.summary` says of a query: its name, and of a part (`accounts [1/8]`) the name of the whole, so that
 * there are few.
 *
 * @internal
 */
export const summaryOf = (name: string): string => (name.endsWith("]") ? name.replace(part, "") : name)
