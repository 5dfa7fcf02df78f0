/**
 * The work that all subjects of a case are given, and the digest by which their results are compared.
 *
 * `peers/peer.py` makes the same digest, character by character.
 */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import type { Answer, Subject } from "./Suite.ts"
import { failAs } from "./Suite.ts"

export interface Statement {
  readonly name: string
  readonly text: string
  readonly parameters: ReadonlyArray<number>
  /** What must be equal: the rows in any order, or only how many there are (where SQL leaves open which). */
  readonly compare: "rows" | "count"
}

export interface Job {
  readonly statements: ReadonlyArray<Statement>
  /** How many statements run at once, and how many connections there are. */
  readonly workers: number
  /** Settings that every connection starts with. */
  readonly startup: Readonly<Record<string, string>>
}

/** The rows of each statement of a job, in the order of the statements. */
export type Results = ReadonlyArray<ReadonlyArray<object>>

/** Runs work and takes a figure from it. */
export type Meter = <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<readonly [measured: number, A], E, R>

/** Seconds from start to end. */
export const elapsedSeconds: Meter = (work) =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.map(work, (result) => [(performance.now() - startedAt) / 1000, result] as const)
  })

/** A subject that does `work` in this process. The digest is made after the meter has stopped. */
export const subject = (name: string, job: Job, meter: Meter, work: Effect.Effect<Results, unknown>): Subject => ({
  name,
  round: meter(work).pipe(
    Effect.map(([measured, results]) => ({ measured, answer: answerOf(job, results) })),
    failAs(name)
  )
})

/** A subject whose work is a promise. The signal ends what it has not begun. */
export const promiseSubject = (
  name: string,
  job: Job,
  meter: Meter,
  work: (signal: AbortSignal) => Promise<Results>
): Subject => subject(name, job, meter, Effect.tryPromise(work))

/** How many rows there are in all, and a hash of all values in the order of the statements. */
const answerOf = (job: Job, results: Results): Answer => {
  const hash = createHash("sha256")
  let rows = 0
  for (const [index, result] of results.entries()) {
    rows += result.length
    hash.update(`#${index} ${result.length}\n`)
    if (job.statements[index]?.compare === "rows") {
      for (const line of result.map(lineOf).sort()) hash.update(`${line}\n`)
    }
  }
  return { statements: results.length, rows, sha256: hash.digest("hex") }
}

// Drivers differ in what they make of a number (number, bigint, string), not in how it reads.
const lineOf = (row: object): string =>
  Object.values(row)
    .map((value) => (value === null ? "\\N" : String(value)))
    .join("\t")
