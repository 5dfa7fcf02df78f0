/**
 * Work that streams: what it finds is counted and added up as it comes, and nothing is kept.
 *
 * A way opens what it needs, and gives the work of one round. It asks for nothing but a server, so that the same way
 * runs here and in a process of its own.
 */
import type { Scope } from "effect"
import { Effect } from "effect"
import type { Connection } from "./Database.ts"
import { elapsedSeconds } from "./Job.ts"
import type { Answer, Subject } from "./Suite.ts"
import { failAs } from "./Suite.ts"

export interface Tally {
  readonly rows: number
  /** Of what a row is worth: its balance, or nothing. */
  readonly sum: number
}

/** What is open, and the work of one round with it. */
interface Opened {
  readonly work: Effect.Effect<Tally, unknown>
  /** Looks at what the work left behind, once its time has been taken, and gives the tally of that. */
  readonly check?: ((found: Tally) => Effect.Effect<Tally, unknown>) | undefined
}

export type Way = (server: Connection, count: number) => Effect.Effect<Opened, unknown, Scope.Scope>

/** What is wrong with a tally: the answer of every subject that is right, whatever the number of its rows. */
export const answerOf = (found: Tally, expected: Tally): Answer => ({
  "rows that lack": expected.rows - found.rows,
  "sum that lacks": expected.sum - found.sum
})

/** A subject that goes this way in this process, measured in rows per second. */
export const wayHere = Effect.fnUntraced(function* (name: string, way: Way, server: Connection, expected: Tally) {
  const { work } = yield* failAs(name)(way(server, expected.rows))
  return {
    name,
    round: elapsedSeconds(work).pipe(
      Effect.map(([seconds, found]) => ({ measured: expected.rows / seconds, answer: answerOf(found, expected) })),
      failAs(name)
    )
  } satisfies Subject
})
