/**
 * The tracer that the body of a query sees: as the one outside, but that the query's statements are told once.
 *
 * effect/sql makes a span for each statement, and one for each transaction. For a query of one statement, or one that is
 * a transaction as a whole, they would say what the query's own span says. So here
 *
 * - the only statement of a query is told by the span around it, and has none of its own;
 * - where there are more, each has one, with what the conventions want of it;
 * - the transaction that the pool begins for the query is the query's own span.
 *
 * All other spans go to the tracer outside as they are.
 *
 * @internal
 */
import type { Exit, Tracer } from "effect"
import { Option, Predicate } from "effect"
import type { Unit } from "./QueryPool.ts"
import type { Telemetry } from "./Telemetry.ts"
import { setAll } from "./Spans.ts"
import type { Attributes, SpanOptions } from "./StatementSpan.ts"
import { StatementSpan } from "./StatementSpan.ts"
import { exitOfSpan, failureOfExit } from "./Telemetry.ts"

/** What knows of the statement that was sent last. */
type Statements = Partial<Pick<Unit, "sql" | "parameters" | "command">>

interface Statement {
  readonly options: SpanOptions
  readonly endedAt: bigint
  readonly exit: Exit.Exit<unknown, unknown>
  readonly attributes: Attributes
}

/**
 * What a span tells of a statement.
 *
 * @internal
 */
export const attributesOf = ({ textOf, values }: Telemetry, sql: string, unit: Statements | undefined): Attributes => {
  const attributes: Record<string, unknown> = { "db.query.text": textOf(sql) }
  // Another fiber of the unit may have sent a statement since.
  if (unit?.sql !== sql) return attributes
  const operation = unit.command?.split(" ", 1)[0]
  if (operation !== undefined && operation !== "") attributes["db.operation.name"] = operation
  if (values) {
    for (const [index, value] of (unit.parameters ?? []).entries()) {
      attributes[`db.query.parameter.${index}`] = String(value)
    }
  }
  return attributes
}

/** @internal */
export class UnitTracer implements Tracer.Tracer {
  readonly outside: Tracer.Tracer
  readonly context: Tracer.Tracer["context"]
  readonly telemetry: Telemetry
  /** What runs the statements, once there is one. */
  unit: Statements | undefined
  /** Of the query, or of its attempt. */
  readonly around: Tracer.Span
  /** The query's own transaction, as a part of which its statements are made. */
  private transaction: Tracer.Span | undefined
  private only: Statement | undefined
  private several = false

  constructor(outside: Tracer.Tracer, around: Tracer.Span, telemetry: Telemetry) {
    this.outside = outside
    this.context = outside.context
    this.around = around
    this.telemetry = telemetry
  }

  span(asked: SpanOptions): Tracer.Span {
    const options = this.withoutTransaction(asked)
    const { mark, name } = this.telemetry.ofClient
    if (options.kind === "client" && options.name === name) {
      return new StatementSpan(options, this.around, {
        mark,
        ended: this.ended,
        other: () => this.outside.span(options)
      })
    }
    // The pool begins it before the body does anything.
    const isOwn = this.unit === undefined && options.name === "sql.transaction" && this.isOf(options)
    return isOwn ? (this.transaction = unending(this.around)) : this.outside.span(options)
  }

  private isOf({ parent }: SpanOptions): boolean {
    return Option.getOrUndefined(parent) === this.around
  }

  /** The query's own transaction is a name for the span that it stands for. */
  private withoutTransaction(options: SpanOptions): SpanOptions {
    const { transaction } = this
    if (transaction === undefined || Option.getOrUndefined(options.parent) !== transaction) return options
    return { ...options, parent: Option.some(this.around) }
  }

  private readonly ended = (sql: string, statement: Statement): void => {
    const attributes = { ...statement.attributes, ...attributesOf(this.telemetry, sql, this.unit) }
    const told: Statement = { ...statement, attributes }
    const isFirst = !this.several && this.only === undefined
    if (isFirst && this.isOf(statement.options)) {
      this.only = told
      return
    }
    this.several = true
    if (this.only !== undefined) this.tell(this.only)
    this.only = undefined
    this.tell(told)
  }

  /** What is to be told of the only statement, if there was no other. */
  get onlyStatement(): Attributes | undefined {
    return this.only?.attributes
  }

  get hasStatements(): boolean {
    return this.several || this.only !== undefined
  }

  private tell({ attributes, endedAt, exit, options }: Statement): void {
    const span = this.outside.span(options)
    const { attributes: ofServer, sqlStateOf, values } = this.telemetry
    setAll(span, ofServer)
    setAll(span, attributes)
    const failure = failureOfExit(exit, sqlStateOf)
    if (failure !== undefined) {
      span.attribute("error.type", failure.type)
      if (failure.sqlState !== undefined) span.attribute("db.response.status_code", failure.sqlState)
    }
    span.end(endedAt, exitOfSpan(exit, failure, { values }))
  }
}

/** A span that is ended by somebody else. */
const unending = (span: Tracer.Span): Tracer.Span =>
  new Proxy(span, {
    get: (target, key) => {
      if (key === "end" || key === "attribute") return () => {}
      const value: unknown = Reflect.get(target, key, target)
      return Predicate.isFunction(value) ? value.bind(target) : value
    }
  })
