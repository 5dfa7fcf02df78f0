/**
 * What the body of a query has beside its SqlClient: what the pool knows of its session.
 *
 * @since 0.1.0
 */
import type { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { QueryError } from "./QueryError.ts"
import type { CancelEnd } from "./QueryEvent.ts"
import type { Column, RowReceiver } from "./RowReceiver.ts"

/**
 * A query's hold on its session while it runs.
 *
 * @since 0.1.0
 */
export interface Unit {
  /** Rows received so far: of statements that have ended, and of a stream as they come. */
  readonly rows: number
  /** Makes `rows` count those of a statement under way, too, as they arrive; absent where the pool cannot. */
  readonly countArriving?: (() => void) | undefined
  /** The columns of its latest result, where the pool reads them (`results: "text"`). */
  readonly columns: ReadonlyArray<Pick<Column, "name" | "typeOid"> & Partial<Column>> | undefined
  /** The tag of its latest finished statement, such as `INSERT 0 3`, where the pool reads it. */
  readonly command: string | undefined
  /** What would be kept of its work if it failed now. */
  readonly outcome: QueryError["outcome"]
  /** Its latest statement, and the values of that. */
  readonly sql?: string | undefined
  readonly parameters?: ReadonlyArray<unknown> | undefined
  /** The span that it is a part of, as the W3C's `traceparent`, where it has one that is told. */
  traceparent?: string | undefined
  /** Called with each NOTICE or WARNING, where the pool reads them. */
  onNotice?: ((severity: string, message: string) => void) | undefined
  /** Called when it was interrupted in the middle of a statement, once it is known what became of that. */
  onCancelled?: ((end: CancelEnd) => void) | undefined
  /**
   * Runs a statement and hands its rows over as the bytes that they come in: for whoever would make text of their
   * values again, which takes three times as long. Gives how many there were. Refused in the pipelined lane.
   */
  readonly copyRows: (
    sql: string,
    parameters: ReadonlyArray<unknown>,
    receiver: RowReceiver
  ) => Effect.Effect<number, SqlError>
  /** Sends the one statement of a query in the pipelined lane; absent where the unit has a session. */
  readonly send?:
    | ((sql: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<unknown>, SqlError>)
    | undefined
}
