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

/** What is known of a statement's text. */
interface Text {
  readonly takesTags: boolean
  /** Without a trace, by the query's name. */
  readonly tagged: Map<string, Tagged>
}

/** Texts and names are few, or else too many to keep; and long texts, such as inserts of many rows, are read each time. */
const mostKept = 1_000
const keptLength = 2_000

/** @internal */
export class Tags {
  private readonly withTrace: boolean
  /**
   * A text that is kept has its hash with it, by which the driver finds what it has prepared. Put together anew for each
   * statement, tags cost 1 µs of a lookup's 22.
   */
  private readonly texts = new Map<string, Text>()
  private kept = 0

  constructor(withTrace: boolean) {
    this.withTrace = withTrace
  }

  /** A statement of a query, with its tags where it can have them. */
  on(sql: string, { name }: QueryName, traceparent: string | undefined): Tagged {
    const text = this.textOf(sql)
    if (this.withTrace && traceparent !== undefined && text.takesTags) {
      return { sql: sql + commentOf({ action: name, traceparent }), prepare: false }
    }
    const known = text.tagged.get(name)
    if (known !== undefined) return known
    const made = { sql: text.takesTags ? sql + commentOf({ action: name }) : sql, prepare: true }
    if (sql.length <= keptLength) this.keep(text.tagged, name, made)
    return made
  }

  private textOf(sql: string): Text {
    const known = this.texts.get(sql)
    if (known !== undefined) return known
    const made: Text = { takesTags: takesTags(sql), tagged: new Map() }
    if (sql.length <= keptLength) this.keep(this.texts, sql, made)
    return made
  }

  private keep<A>(among: Map<string, A>, key: string, value: A): void {
    if (this.kept >= mostKept) {
      this.texts.clear()
      this.kept = 0
    }
    this.kept++
    among.set(key, value)
  }
}
