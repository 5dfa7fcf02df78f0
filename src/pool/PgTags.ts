/**
 * What stands behind the statements of queries, so that who looks at the server finds who sent them.
 *
 * - The query's name is the same each time, so a statement with it is prepared once, like one without.
 * - A trace's id is another each time. A statement with it is sent unprepared: prepared, it would push those out that are
 *   used again. It is there only where the trace is told, which is what the quota of spans bounds.
 *
 * @internal
 */
import type { QueryName } from "./PgSession.ts"
import { commentOf, takesTags } from "./SqlComment.ts"

/** @internal */
export interface Tagged {
  readonly sql: string
  /** Whether it is one of few texts. */
  readonly prepare: boolean
}

/** Names that are made up as the program runs are as many as there are queries. */
const mostNames = 1_000

/** @internal */
export class Tags {
  private readonly withTrace: boolean
  /** The comments of queries without a trace, by their names. */
  private readonly comments = new Map<string, string>()

  constructor(withTrace: boolean) {
    this.withTrace = withTrace
  }

  /** A statement of a query, with its tags where it can have them. */
  on(sql: string, { name }: QueryName, traceparent: string | undefined): Tagged {
    if (!takesTags(sql)) return { sql, prepare: true }
    if (this.withTrace && traceparent !== undefined) {
      return { sql: sql + commentOf({ action: name, traceparent }), prepare: false }
    }
    return { sql: sql + this.commentOf(name), prepare: true }
  }

  private commentOf(name: string): string {
    const known = this.comments.get(name)
    if (known !== undefined) return known
    if (this.comments.size >= mostNames) this.comments.clear()
    const comment = commentOf({ action: name })
    this.comments.set(name, comment)
    return comment
  }
}
