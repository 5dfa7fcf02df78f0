/**
 * Tags on statements, by the sqlcommenter specification (google.github.io/sqlcommenter/spec): pairs of a key and a value
 * in a comment behind the statement, for whoever looks at pg_stat_activity or the server's log.
 *
 *     select … /*action='monthly%20totals',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*\/
 *
 * - Keys and values are percent-encoded, then a quote is escaped by a backslash. No value ends the comment or begins
 *   another, as no `/` is left in it.
 * - Pairs are sorted by key.
 * - A statement in which a comment stands already is left as it is.
 *
 * @internal
 */
import { dash, endOfToken, slash, star } from "../internal/sqlTokens.ts"

const encode = (text: string): string => encodeURIComponent(text.toWellFormed()).replaceAll("'", "\\'")

/**
 * The comment for some tags, the keys of which are in order. Empty without tags.
 *
 * @internal
 */
export const commentOf = (tags: Readonly<Record<string, string | undefined>>): string => {
  const pairs = Object.entries(tags).flatMap(([key, value]) =>
    value === undefined ? [] : [`${encode(key)}='${encode(value)}'`]
  )
  return pairs.length === 0 ? "" : ` /*${pairs.toSorted().join(",")}*/`
}

/**
 * Whether a statement can have tags: no comment stands in it. What does not end is taken for one: the server will say
 * what it thinks.
 *
 * @internal
 */
export const takesTags = (sql: string): boolean => {
  if (!sql.includes("--") && !sql.includes("/*")) return true
  for (let at = 0; at >= 0 && at < sql.length;) {
    const code = sql.charCodeAt(at)
    const next = sql.charCodeAt(at + 1)
    if ((code === dash && next === dash) || (code === slash && next === star)) return false
    at = endOfToken(sql, at, code)
    if (at < 0) return false
  }
  return true
}
