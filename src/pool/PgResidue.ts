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

/**
 * What stands before the first word. One character of white space at a time: `\s+` inside of the repetition took time
 * that doubled with each space before a text that begins with no word. A comment within a comment matches nothing, so
 * that such a statement is taken to leave something behind.
 */
const firstWord = /^(?:\s|--[^\r\n]*[\r\n]|\/\*(?:[^*/]|\*(?!\/)|\/(?!\*))*\*\/|[;(])*([a-z]+)/i

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

const effectOf = (word: string | undefined, sql: string): Effect => {
  if (word === undefined) return "part"
  if (word === "commit" || word === "end") return "commit"
  if (word === "prepare") return /\bprepare\s+transaction\b/i.test(sql) ? "commit" : "nothing"
  // `ROLLBACK PREPARED` ends what another session has left.
  if (nothing.has(word)) return word === "rollback" && /\bprepared\b/i.test(sql) ? "whole" : "nothing"
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
const rollsBack = /\brollback\b(?!\s+(?:(?:work|transaction)\s+)?(?:to|prepared)\b)/i

const endsTransaction = (word: string | undefined, sql: string): boolean => {
  if (word === "rollback") return rollsBack.test(sql)
  return word === "commit" || word === "end" || word === "abort" || /^\s*prepare\s+transaction\b/i.test(sql)
}

const judge = (sql: string): Verdict => {
  const word = firstWord.exec(sql)?.[1]?.toLowerCase()
  return { residue: residue(word, sql), effect: effectOf(word, sql), ends: endsTransaction(word, sql) }
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

/**
 * Undoes in one round trip what a unit may have left behind, and keeps the driver's prepared statements, which
 * DISCARD ALL would drop (0.25 ms; seven statements of their own: 0.56 ms).
 *
 * @internal
 */
export const resetSession = `DO $querypool$ declare prepared record; begin
  set session authorization default;
  reset role;
  reset all;
  execute 'close all';
  execute 'unlisten *';
  perform pg_catalog.pg_advisory_unlock_all();
  execute 'discard temp';
  execute 'discard sequences';
  for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
    execute pg_catalog.format('deallocate %I', prepared.name);
  end loop;
end $querypool$`
