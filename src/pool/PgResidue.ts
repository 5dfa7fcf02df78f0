/**
 * Whether a statement may leave something behind on its session, judged by its text.
 *
 * What a statement changes cannot be known in general (`select f()` may SET or take a lock), so this errs on the side
 * of a reset that was not needed: only statements that begin with a word known to be harmless, and that call none of
 * the functions below, are taken to leave the session as it was. A function that hides such a call is what
 * `reset: "always"` is for.
 *
 * @internal
 */

/** First words after which a session is as it was before. `CALL` and `DO` may do anything, so they are not here. */
const harmless = new Set([
  "select",
  "insert",
  "update",
  "delete",
  "merge",
  "with",
  "values",
  "table",
  "explain",
  "show",
  "analyze",
  "vacuum",
  "truncate",
  "notify",
  "comment",
  "grant",
  "revoke",
  "refresh",
  "reindex",
  "alter",
  "drop",
  "commit",
  "rollback",
  "savepoint",
  "release"
])

/** Calls that outlive their statement: settings, session locks, temporary tables made by SELECT INTO, random seeds. */
const lasting =
  /\b(?:set_config|pg_(?:try_)?advisory_lock(?:_shared)?|setseed)\s*\(|\binto\s+(?:local\s+|global\s+)?temp/i

/** White space and comments before the first word; nested comments only as deep as people write them. */
const firstWord = /^(?:\s+|--[^\n]*\n|\/\*(?:[^*]|\*(?!\/))*\*\/|[;(])*([a-z]+)/i

/** @internal */
export type Residue = "none" | "session" | "transaction" | "prepared"

const judge = (sql: string): Residue => {
  const word = firstWord.exec(sql)?.[1]?.toLowerCase()
  // These drop the driver's own prepared statements, which it would go on to use.
  if (word === "discard" || word === "deallocate") return "prepared"
  if (word === "begin" || word === "start") return "transaction"
  return word !== undefined && harmless.has(word) && !lasting.test(sql) ? "none" : "session"
}

/** Texts are few, or else too many to keep: 1,000 of 200 characters are some 400 kB. */
const remembered = 1_000
const verdicts = new Map<string, Residue>()

/**
 * What `sql` may leave behind: nothing; something in the session; an open transaction too; or a driver that believes in
 * prepared statements which are gone.
 *
 * @internal
 */
export const residueOf = (sql: string): Residue => {
  const known = verdicts.get(sql)
  if (known !== undefined) return known
  const residue = judge(sql)
  if (verdicts.size >= remembered) verdicts.clear()
  verdicts.set(sql, residue)
  return residue
}
