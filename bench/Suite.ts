/**
 * What is measured: a suite has cases, a case has subjects.
 *
 * The subjects of a case do the same work in different ways. Each says how to do it once (`round`), with whatever it
 * needs already open: what a subject opens when the case starts (pools, child processes) is not part of a round.
 */
import type { FileSystem, Scope } from "effect"
import { Effect, Schema } from "effect"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { BenchDatabase } from "./Database.ts"
import type { Python } from "./peers/python.ts"

/** How thorough a run is. */
export interface Effort {
  /** One short round of little work, to see that everything runs; its figures mean nothing. */
  readonly quick: boolean
  /** The scale of the pgbench tables: 100,000 accounts each. */
  readonly scale: number
  readonly rounds: number
}

/** What a subject found, small enough to compare and to print: equal answers mean equal results. */
export type Answer = Readonly<Record<string, string | number>>

/** One round of a subject: what was measured, before `Case.value`, and what it found. */
interface Round {
  readonly measured: number
  readonly answer: Answer
}

export interface Subject {
  readonly name: string
  readonly round: Effect.Effect<Round, BenchError>
}

export interface Case {
  readonly name: string
  /** More of a unit that ends in "/s" is better; of any other unit, less is. */
  readonly unit: string
  /** From what a round measured to the case's unit. */
  readonly value: (measured: number) => number
  /** One round, which is compared and counts: for what starts a process for each round, and so is never warm. */
  readonly once?: true
  /** The subjects, open until the scope closes. The first one is what the others are compared with. */
  readonly subjects: Effect.Effect<
    ReadonlyArray<Subject>,
    BenchError,
    Scope.Scope | BenchDatabase | Python | ChildProcessSpawner
  >
}

export interface Suite {
  readonly name: string
  /** What is measured, in a line for the head of a table. */
  readonly about: (effort: Effort) => string
  /** Loads the suite's tables into its own, empty database and says what to measure there, until the scope closes. */
  readonly cases: (
    effort: Effort
  ) => Effect.Effect<
    ReadonlyArray<Case>,
    BenchError | SqlError,
    SqlClient | FileSystem.FileSystem | Python | Scope.Scope
  >
}

/** A bench that cannot go on; the message says which part and why. */
export class BenchError extends Schema.TaggedError<BenchError>()("BenchError", { message: Schema.String }) {}

/** Makes any error of `origin` a `BenchError` that names it. */
export const benchError = (origin: string, error: unknown): BenchError =>
  new BenchError({ message: `${origin}: ${explain(error)}` })

/** Makes any failure of `origin` a `BenchError` that names it. */
export const failAs =
  (origin: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, BenchError, R> =>
    Effect.mapError(effect, (error) => benchError(origin, error))

const explain = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message} (${explain(error.cause)})`
}
