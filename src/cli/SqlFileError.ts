/**
 * What can be wrong with a `.sql` file before anything is sent: one error, with a closed set of reasons and one
 * sentence for each that says what to do.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { mostParts } from "../query/Partition.ts"
import { durationHint } from "./DurationText.ts"
import { knownHeaders, meantBy } from "./SqlHeader.ts"
import type { SqlPlace } from "./SqlPlace.ts"

const Reason = Schema.Literals([
  "InvalidUtf8",
  "ZeroByte",
  "UnterminatedString",
  "UnterminatedIdentifier",
  "UnterminatedDollarQuote",
  "UnterminatedComment",
  "PsqlCommand",
  "CopyStream",
  "EmptyName",
  "InvalidName",
  "DuplicateName",
  "StatementBeforeName",
  "EmptyQuery",
  "EmptyFile",
  "UnknownHeader",
  "InvalidTimeout",
  "InvalidRetry",
  "InvalidNeeds",
  "InvalidTag",
  "InvalidPartition",
  "PartitionOfMany",
  "PartitionOfOther",
  "PartitionOfTransaction",
  "HeaderWithValue",
  "DuplicateHeader",
  "DuplicateTag",
  "ConflictingHeaders",
  "MisplacedHeader"
])

/**
 * What is wrong with a `.sql` file.
 *
 * @since 0.1.0
 */
export type SqlFileErrorReason = typeof Reason.Type

/** Takes the part of the file that a message quotes, and gives the sentence. */
const sentences: { readonly [R in SqlFileErrorReason]: (subject: string) => string } = {
  InvalidUtf8: (byte) => `invalid UTF-8: the byte ${byte} is not text here, save the file as UTF-8`,
  ZeroByte: () => "zero byte: PostgreSQL takes no text that holds one, save the file as UTF-8",
  UnterminatedString: () =>
    "unterminated string: the quote opened here is never closed, add the missing ' (a quote inside a string is '')",
  UnterminatedIdentifier: () =>
    `unterminated quoted identifier: the quote opened here is never closed, add the missing "`,
  UnterminatedDollarQuote: (tag) =>
    `unterminated dollar quote: ${tag} opened here is never closed, add a second ${tag}`,
  UnterminatedComment: () =>
    "unterminated comment: the /* opened here is never closed, add the missing */ (comments nest)",
  PsqlCommand: (command) => `psql command: ${command} is not SQL, ${psqlHints.get(command) ?? hintForOtherCommands}`,
  CopyStream: (copy) =>
    copy.startsWith("COPY FROM")
      ? `${copy}: a file of statements has no place for the rows, use INSERT, or COPY FROM a file on the server`
      : `${copy}: a statement of a file returns rows and no copy stream, use SELECT, or COPY TO a file on the server`,
  EmptyName: () => "query without a name: write one word after `-- name:`",
  InvalidName: (name) => `invalid query name "${name}": write one word without commas and colons after \`-- name:\``,
  DuplicateName: (name) => `duplicate query name "${name}": an earlier query of this file has it, rename one of them`,
  StatementBeforeName: () => "statements before the first `-- name:` line: give them a `-- name:` line of their own",
  EmptyQuery: (name) =>
    `query "${name}" without a statement: write one under its \`-- name:\` line, or remove the line`,
  EmptyFile: () => "no statement in this file: write one, or remove the file",
  UnknownHeader: (word) => `Unknown header \`${word}\`. ${whatWasMeant(word)}`,
  InvalidTimeout: (value) => `invalid timeout "${value}": write ${durationHint} after \`-- timeout:\``,
  InvalidRetry: (value) =>
    `invalid retry "${value}": write how often to try again at most, such as 3, after \`-- retry:\``,
  InvalidNeeds: (value) => `invalid needs "${value}": write names of queries, separated by commas, after \`-- needs:\``,
  InvalidTag: (value) => `invalid tag "${value}": write key=value after \`-- tag:\``,
  InvalidPartition: (value) =>
    `invalid partition "${value}": write a column and from 1 to ${mostParts} parts, such as column=id parts=8, after \`-- partition:\``,
  PartitionOfMany: (name) =>
    `query "${name}" has several statements, and \`-- partition:\` cuts one: give that a \`-- name:\` line of its own`,
  PartitionOfOther: (why) => `a query that cannot be cut by \`-- partition:\`: ${why}`,
  PartitionOfTransaction: () =>
    "conflicting headers `partition` and `transaction`: parts only read, each by itself, remove one of them",
  HeaderWithValue: (word) => `header \`${word}\` with a value: write \`-- ${word}\` alone`,
  DuplicateHeader: (word) => `second header \`${word}\`: remove one of them`,
  DuplicateTag: (key) => `second tag \`${key}\`: remove one of them`,
  ConflictingHeaders: () => "conflicting headers `transaction` and `read-only`: remove one of them",
  MisplacedHeader: (word) =>
    `header \`${word}\` below a statement, where it does nothing: move it up, under the \`-- name:\` line or to the top of the file`
}

const whatWasMeant = (word: string): string => {
  const meant = meantBy(word)
  return meant === undefined
    ? `Known are ${knownHeaders.join(", ")}. A comment that is no header begins with a capital letter`
    : `Did you mean \`${meant}\`?`
}

const hintForOtherCommands = "remove it, or run this file with psql"
const endWithSemicolon = "end the statement with ; instead"
const runOtherFile = "run that file as one of its own"
const psqlHints: ReadonlyMap<string, string> = new Map([
  ["\\;", "write the ; alone"],
  ["\\copy", "use INSERT or SELECT, or COPY with a file on the server"],
  ["\\g", endWithSemicolon],
  ["\\gdesc", endWithSemicolon],
  ["\\gexec", endWithSemicolon],
  ["\\gset", endWithSemicolon],
  ["\\gx", endWithSemicolon],
  ["\\i", runOtherFile],
  ["\\include", runOtherFile],
  ["\\include_relative", runOtherFile],
  ["\\ir", runOtherFile],
  ["\\set", "write the value where it is used"]
])

/** One line of a log or a terminal: a whole file can stand where a short word was expected. */
const maxSubjectLength = 60

/**
 * A `.sql` file cannot be read as statements and queries.
 *
 * The message has the shape `queries/a.sql:3:14: unterminated string: …`. Show the place with
 * `excerpt(text, error)` of SqlPlace.ts.
 *
 * @since 0.1.0
 */
export class SqlFileError extends Schema.TaggedError<SqlFileError>("querypool/cli/SqlFileError")("SqlFileError", {
  file: Schema.String,
  /** Where in the text, in UTF-16 code units from 0. */
  offset: Schema.Int,
  /** From 1. */
  line: Schema.Int,
  /** From 1, in characters (code points). */
  column: Schema.Int,
  reason: Reason,
  /** The part of the file that the message quotes: a tag, a command or a name; empty where it quotes none. */
  subject: Schema.String
}) {
  override get message(): string {
    return `${this.file}:${this.line}:${this.column}: ${sentences[this.reason](this.subject)}`
  }
}

/**
 * Makes the error for one place of a file.
 *
 * @internal
 */
export const sqlFileError = (
  file: string,
  { offset, line, column }: SqlPlace,
  reason: SqlFileErrorReason,
  subject = ""
): SqlFileError => {
  const short = subject.length > maxSubjectLength ? `${subject.slice(0, maxSubjectLength).toWellFormed()}…` : subject
  // A control character of the file would act on the terminal that shows the message.
  const shown = short.replace(/\p{Cc}/gu, "\ufffd")
  return new SqlFileError({ file, offset, line, column, reason, subject: shown })
}
