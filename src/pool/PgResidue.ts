/**
 * Whether a statement may leave something behind on its session, judged by its text.
 *
 * What a statement changes cannot be known in general (`select f()` may SET or take a lock), so this errs on the side
 * of a reset that was not needed: only statements that begin with a word known to be harmless, and that call none of
 * the functions below, are taken to leave the session as it was. A function that hides such a call is what
 * `reset: "always"` is for. What stays visible in any case is `lastval()` of the unit before.
 *
 * @internal
 */
import * as Token from "../internal/sqlTokens.ts"

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

/**
 * What outlives its statement: settings, session locks, connections, and temporary tables made by SELECT INTO. Names
 * stand alone, without the parenthesis of their call, because quotes or a comment may stand between the two.
 */
const lasting = /\b(?:set_config|pg_(?:try_)?advisory_lock(?:_shared)?|pg_temp|dblink\w*)\b|\bu&"/i
const intoTemporary = /\binto(?:\s|--[^\r\n]*|\/\*(?:[^*]|\*(?!\/))*\*\/|\b(?:local|global)\b)+temp(?:orary)?\b/i

/** Nothing puts the random numbers of a session back to where they were. */
const unresettable = /\bsetseed\b/i

/** The words that a statement begins with, in lower case and as many as it takes to tell `rollback work to`. */
const firstWords = (sql: string): ReadonlyArray<string> => {
  const words: Array<string> = []
  for (let at = Token.endOfGap(sql, 0); at >= 0 && at < sql.length && words.length < 3;) {
    const code = sql.charCodeAt(at)
    const isWord = Token.isLetter(code)
    if (!isWord && (words.length > 0 || (code !== Token.semicolon && code !== Token.openParen))) break
    const end = Token.endOfToken(sql, at, code)
    if (end === Token.unterminated) break
    if (isWord) words.push(sql.slice(at, end).toLowerCase())
    at = Token.endOfGap(sql, end)
  }
  return words
}

/** A COMMIT or ROLLBACK that leaves no transaction open, unlike `ROLLBACK TO` and `COMMIT AND CHAIN`. */
const plainEnd = /^\s*(?:commit|end|rollback|abort)(?:\s+(?:work|transaction))?\s*;?$/i

/** @internal */
export type Residue = "none" | "session" | "begin" | "end" | "unfit"

/**
 * What a statement does to the database, outside of a transaction: nothing; all or nothing; possibly a part, when it
 * is refused in the middle; or it commits the transaction that it is in.
 */
type Effect = "nothing" | "whole" | "part" | "commit"

const nothing = new Set(["show", "set", "reset", "begin", "start", "savepoint", "release", "rollback", "abort"])

/** These may commit on their way. */
const piecemeal = new Set(["call", "do", "vacuum", "cluster", "reindex", "analyze"])
const outsideTransactions = /\b(?:concurrently|database|tablespace|subscription|system)\b/i

const effectOf = ([word, next]: ReadonlyArray<string>, sql: string): Effect => {
  if (word === undefined) return "part"
  if (word === "commit" || word === "end") return "commit"
  if (word === "prepare") return next === "transaction" ? "commit" : "nothing"
  // `ROLLBACK PREPARED` ends what another session has left.
  if (nothing.has(word)) return word === "rollback" && next === "prepared" ? "whole" : "nothing"
  if (piecemeal.has(word)) return "part"
  const isDefinition = word === "create" || word === "drop" || word === "alter"
  return isDefinition && outsideTransactions.test(sql) ? "part" : "whole"
}

const residue = (word: string | undefined, sql: string): Residue => {
  // These drop the driver's own prepared statements, which it would go on to use.
  if (word === "discard" || word === "deallocate") return "unfit"
  if (unresettable.test(sql)) return "unfit"
  if (word === "begin" || word === "start") return "begin"
  if (plainEnd.test(sql.trimEnd())) return "end"
  if (word === undefined || !harmless.has(word)) return "session"
  return lasting.test(sql) || intoTemporary.test(sql) ? "session" : "none"
}

/** Texts are few, or else too many to keep: 1,000 of 200 characters are some 400 kB. */
const remembered = 1_000
/** A text that is longer, such as an insert of many rows, is judged each time: 1,000 of a megabyte would stay. */
const rememberedLength = 2_000
const verdicts = new Map<string, Verdict>()

/** @internal */
export interface Verdict {
  /** What it may leave behind: nothing; something in the session; a transaction that it opens or ends; a session that cannot be reset. */
  readonly residue: Residue
  readonly effect: Effect
  /** Whether it ends the transaction that it is in, also where it begins the next one. */
  readonly ends: boolean
}

/** `ROLLBACK TO` goes back to a savepoint, and `ROLLBACK PREPARED` ends what another session has left. */
const endsTransaction = ([word, next, last]: ReadonlyArray<string>): boolean => {
  if (word === "prepare") return next === "transaction"
  if (word !== "rollback") return word === "commit" || word === "end" || word === "abort"
  return next !== "prepared" && (next === "work" || next === "transaction" ? last : next) !== "to"
}

const judge = (sql: string): Verdict => {
  const words = firstWords(sql)
  return { residue: residue(words[0], sql), effect: effectOf(words, sql), ends: endsTransaction(words) }
}

/**
 * What `sql` does and leaves behind, judged by its text.
 *
 * @internal
 */
export const verdictOf = (sql: string): Verdict => {
  const known = verdicts.get(sql)
  if (known !== undefined) return known
  const verdict = judge(sql)
  if (sql.length > rememberedLength) return verdict
  if (verdicts.size >= remembered) verdicts.clear()
  verdicts.set(sql, verdict)
  return verdict
}
