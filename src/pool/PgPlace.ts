/**
 * A query's place in the pipelined lane: a unit of one statement, on a connection that it shares with others.
 *
 * @internal
 */
import { Effect } from "effect"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import type { QueryError } from "../query/QueryError.ts"
import type { Unit } from "../query/QueryPool.ts"
import type { UnitFacts } from "./PgErrors.ts"
import { outcomeOf } from "./PgErrors.ts"
import type { Config, LaneConnection } from "./PgPipeline.ts"
import { verdictOf } from "./PgResidue.ts"
import type { QueryName } from "./PgSession.ts"

/** @internal */
export class Place implements Unit {
  readonly query: QueryName
  readonly lane: LaneConnection
  /** What became of its statement. */
  state: "unsent" | "sent" | "completed" | "refused" = "unsent"
  sql: string | undefined
  parameters: ReadonlyArray<unknown> | undefined
  traceparent: string | undefined
  rows = 0
  readonly columns = undefined
  readonly command = undefined
  onNotice: Unit["onNotice"]
  onCancelled: Unit["onCancelled"]
  private readonly config: Pick<Config, "transformRows" | "tags">

  constructor(query: QueryName, lane: LaneConnection, config: Pick<Config, "transformRows" | "tags">) {
    this.query = query
    this.lane = lane
    this.config = config
  }

  get facts(): UnitFacts {
    const completed = this.state === "completed" ? 1 : 0
    return { completed, unanswered: this.state === "sent" ? "statement" : "nothing", tainted: false }
  }

  get outcome(): QueryError["outcome"] {
    return outcomeOf(this.facts)
  }

  copyRows(): Effect.Effect<never, SqlError> {
    return Effect.fail(refused("rows cannot be copied in the pipelined lane: they would hold up what others sent"))
  }

  send(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<unknown>, SqlError> {
    if (verdictOf(sql).residue !== "none") return Effect.fail(refused(unfit))
    this.sql = sql
    this.parameters = params
    this.state = "sent"
    this.lane.underWay.add(this)
    const { tags, transformRows } = this.config
    const tagged = tags?.on(sql, this.query, this.traceparent)
    const sent = this.lane.connection.pg.query(tagged?.sql ?? sql, params, tagged?.prepare ?? true)
    return Effect.map(sent, ({ rows }) => {
      this.state = "completed"
      this.rows = rows.length
      return transformRows === undefined ? rows : transformRows(rows)
    })
  }
}

const unfit =
  "the pipelined lane is for statements that leave their session as it was, and for no transactions: others use it at " +
  "the same time"

const refused = (message: string): SqlError => {
  const cause = Object.assign(new Error(message), { hint: 'leave `lane: "pipelined"` out' })
  return new SqlError({ reason: new UnknownError({ cause, message, operation: "query" }) })
}
