/**
 * What a made-up pool answers: rows, failures, or what a function makes of a statement, by the names of queries.
 *
 * - A query has what stands under its name, and a part of a partition what stands under the name of the whole.
 * - A statement outside of any query is of the query "statement", and in a transaction outside of any of the query
 *   "transaction": the names that the pool on PostgreSQL has for them.
 * - A statement for which there is nothing is a mistake of the test: a defect, which nothing handles or tries again, and
 *   which says what there is.
 *
 * @since 0.1.0
 */
import { Effect, Stream } from "effect"
import { nearest } from "../internal/editDistance.ts"
import { wholeOf } from "../query/PartName.ts"
import type { Failure } from "./Failure.ts"

/**
 * A statement that is to be answered.
 *
 * @since 0.1.0
 */
export interface Statement {
  /** The name of the query whose body sent it. */
  readonly query: string
  readonly sql: string
  readonly parameters: ReadonlyArray<unknown>
  /** On which session, from 1 in the order of opening. */
  readonly session: number
  /** Counts the statements of queries of that name, from 1. */
  readonly nth: number
}

/**
 * What a statement is answered with: rows as the driver gives them (before a schema decodes them), the reason for which
 * it fails, or an effect or a stream of these, which may take its time.
 *
 * @since 0.1.0
 */
export type Answer =
  | ReadonlyArray<object>
  | Failure
  | Effect.Effect<ReadonlyArray<object>, Failure>
  | Stream.Stream<object, Failure>

/**
 * Answers to a query's statements.
 *
 * @since 0.1.0
 */
export type Answers = Answer | InOrder | ((statement: Statement) => Answer)

/**
 * The answers of a pool: by the names of queries, or of any statement.
 *
 * @since 0.1.0
 */
export type Script = Readonly<Record<string, Answers>> | ((statement: Statement) => Answer)

/** A value without state: who uses it counts. */
class InOrder {
  readonly answers: ReadonlyArray<Answer | ((statement: Statement) => Answer)>

  constructor(answers: InOrder["answers"]) {
    this.answers = answers
  }
}

/**
 * One answer after the other: the first for the query's first statement, and so on. A statement too many is a mistake of
 * the test.
 *
 * ```ts
 * TestQueryPool.layer({ charge: TestQueryPool.inOrder(Faults.sqlState("40P01"), [{ id: 1 }]) })
 * ```
 *
 * @since 0.1.0
 */
export const inOrder = (...answers: InOrder["answers"]): InOrder => new InOrder(answers)

const quoted = (names: ReadonlyArray<string>): string => names.map((name) => `"${name}"`).join(", ")

/** @internal */
export class Prompter {
  private readonly script: Script
  private readonly counts = new Map<string, number>()
  private readonly taken = new Map<InOrder, number>()

  constructor(script: Script) {
    this.script = script
  }

  /** A statement with its number among those of its query. */
  numbered(statement: Omit<Statement, "nth">): Statement {
    const nth = (this.counts.get(statement.query) ?? 0) + 1
    this.counts.set(statement.query, nth)
    return { ...statement, nth }
  }

  /** Why a query gets no session, if `isOfOpening` says so of what it would be answered next. */
  opening(query: string, isOfOpening: (failure: Failure) => boolean): Failure | undefined {
    if (typeof this.script === "function") return undefined
    const answers = answersFor(this.script, query)
    const next = answers instanceof InOrder ? answers.answers[this.taken.get(answers) ?? 0] : answers
    if (!isFailure(next) || !isOfOpening(next)) return undefined
    if (answers instanceof InOrder) this.taken.set(answers, (this.taken.get(answers) ?? 0) + 1)
    return next
  }

  answer(statement: Statement): Answer {
    const { script } = this
    if (typeof script === "function") return script(statement)
    const answers = answersFor(script, statement.query)
    if (answers === undefined) return Effect.die(new Error(unscripted(statement, Object.keys(script))))
    if (answers instanceof InOrder) return this.next(answers, statement)
    return typeof answers === "function" ? answers(statement) : answers
  }

  private next(inTurn: InOrder, statement: Statement): Answer {
    const index = this.taken.get(inTurn) ?? 0
    this.taken.set(inTurn, index + 1)
    const answer = inTurn.answers[index]
    if (typeof answer === "function") return answer(statement)
    if (answer !== undefined) return answer
    const { query, sql } = statement
    const said = `has ${inTurn.answers.length} answers in order, and this is one statement more: ${sql}`
    return Effect.die(new Error(`Query "${query}" ${said}`))
  }
}

const answersFor = (script: Readonly<Record<string, Answers>>, query: string): Answers | undefined => {
  const name = [query, wholeOf(query)].find((one) => Object.hasOwn(script, one))
  return name === undefined ? undefined : script[name]
}

const unscripted = ({ query, sql }: Statement, names: ReadonlyArray<string>): string => {
  const meant = nearest(query, names)
  return [
    `Query "${query}" is not scripted, and sent: ${sql}`,
    names.length === 0 ? "  scripted is no query" : `  scripted are: ${quoted(names)}`,
    ...(meant === undefined ? [] : [`  did you mean "${meant}"?`]),
    `  give it an answer: TestQueryPool.layer({ ${JSON.stringify(query)}: [] })`
  ].join("\n")
}

/** Errors of effect are effects, too: whether it is one is asked first. */
const isFailure = (answer: unknown): answer is Failure => answer instanceof Error

/** @internal */
export const rowsOf = (answer: Answer): Effect.Effect<ReadonlyArray<object>, Failure> => {
  if (isFailure(answer)) return Effect.fail(answer)
  if (Effect.isEffect(answer)) return answer
  return Stream.isStream(answer) ? Stream.runCollect(answer) : Effect.succeed(answer)
}

/** @internal */
export const streamOf = (answer: Answer): Stream.Stream<object, Failure> =>
  Stream.isStream(answer) ? answer : Stream.unwrap(Effect.map(rowsOf(answer), Stream.fromIterable))
