/**
 * Who is told of a run: all that is printed or kept of one is a fold of what it tells.
 *
 * @internal
 */
import type * as Progress from "../query/Progress.ts"
import type { QueryEvent } from "../query/QueryEvent.ts"
import type { QueryReport, Report } from "../query/Report.ts"
import type { FileResult } from "./FileResult.ts"

/**
 * A query that has ended.
 *
 * @internal
 */
export interface Finished {
  readonly result: FileResult
  readonly report: QueryReport
}

/**
 * What became of a run, with a lower bound that counts what its queries needed.
 *
 * @internal
 */
export interface RunReport extends Report {
  /** Names of the queries on the longest path of those that needed each other, by the times they took. */
  readonly criticalPath: ReadonlyArray<string>
}

/**
 * Who is told of a run.
 *
 * @internal
 */
export interface Teller {
  /** The database could not be reached, and is tried again after that time. Nothing was run so far. */
  readonly unreached: (message: string, delayMillis: number) => void
  /** The run begins, of which so much is known. */
  readonly begins?: ((known: Progress.Options) => void) | undefined
  /** Something happened, as it happens. */
  readonly happened: (event: QueryEvent) => void
  /** One query ended: told in the order of the files, as soon as it and all before it have ended. */
  readonly ended: (finished: Finished) => void
  /** The run is over, one way or another. */
  readonly over: (all: ReadonlyArray<Finished>, report: RunReport, interrupted: boolean) => void
}

/**
 * All of them, one after the other, as if they were one.
 *
 * @internal
 */
export const tellAll = (...tellers: ReadonlyArray<Partial<Teller>>): Teller => ({
  unreached: (...told) => {
    for (const { unreached } of tellers) unreached?.(...told)
  },
  begins: (known) => {
    for (const { begins } of tellers) begins?.(known)
  },
  happened: (event) => {
    for (const { happened } of tellers) happened?.(event)
  },
  ended: (finished) => {
    for (const { ended } of tellers) ended?.(finished)
  },
  over: (...told) => {
    for (const { over } of tellers) over?.(...told)
  }
})
