/**
 * The lines of a journal, and what is known of a run by them.
 *
 *     begun   started*   ended*   (resumed   started*   ended*)*   over?
 *
 * - `started` is there of queries that may write, and on the disk before their first statement is sent. So one that was
 *   applied has at least that line, whatever happened since.
 * - `over` says that all have succeeded. A run without it was not finished.
 * - A query is known by its key, of which a change of its text, its values or its format makes another: what was done
 *   for the old one says nothing of the new one.
 *
 * @internal
 */
import { Result, Schema } from "effect"
import { createHash } from "node:crypto"
import type { FileQuery } from "./QueryFiles.ts"
import type { Defaults } from "./QueryOptions.ts"
import { optionsOf } from "./QueryOptions.ts"
import { sentOf } from "./SqlParameters.ts"
import { onlyReads } from "./StatementKind.ts"

const version = 1

const Begun = Schema.TaggedStruct("begun", {
  version: Schema.Literal(version),
  run: Schema.String,
  at: Schema.String,
  format: Schema.String,
  queries: Schema.Int
})
const Resumed = Schema.TaggedStruct("resumed", { at: Schema.String, queries: Schema.Int })
const Started = Schema.TaggedStruct("started", { key: Schema.String, name: Schema.String })
const Ended = Schema.TaggedStruct("ended", {
  key: Schema.String,
  name: Schema.String,
  outcome: Schema.Literals(["Succeeded", "Failed", "Cancelled", "Skipped"]),
  /** What is kept on the server, where it did not succeed. */
  kept: Schema.optional(Schema.Literals(["notApplied", "partial", "unknown"])),
  rows: Schema.Int,
  bytes: Schema.optional(Schema.Int),
  /** From the folder of the run. */
  file: Schema.optional(Schema.String)
})
const Over = Schema.TaggedStruct("over", { at: Schema.String })

/** @internal */
export const Line = Schema.Union([Begun, Resumed, Started, Ended, Over])

/** @internal */
export type Line = typeof Line.Type

/** @internal */
export { version }

/** @internal */
export type Ended = typeof Ended.Type

const decodeLine = Schema.decodeUnknownResult(Schema.fromJsonString(Line))

/**
 * What the lines say of the last run.
 *
 * @internal
 */
export interface Past {
  readonly isOver: boolean
  /** How many queries it had at its beginning. */
  readonly count: number
  /** By key: how it ended last, or `started` where nothing is known of its end. */
  readonly queries: ReadonlyMap<string, Ended | "started">
}

/**
 * Reads a journal. What stands behind the last line's end was not written to its end, and is nothing. Says which line is
 * garbage otherwise.
 *
 * @internal
 */
export const readJournal = (text: string): Result.Result<Past | undefined, string> => {
  let past: { isOver: boolean; count: number; queries: Map<string, Ended | "started"> } | undefined
  const lines = text.split("\n")
  for (const [index, content] of lines.entries()) {
    // A crash of the machine may also leave a last line of zeros, with or without its end.
    const isLast = index >= lines.length - 2 && lines.slice(index + 1).every((later) => later === "")
    if (content === "" && isLast) break
    const line = decodeLine(content)
    if (Result.isFailure(line)) {
      if (isLast) break
      return Result.fail(`line ${index + 1} is none of a journal's`)
    }
    const { success } = line
    if (success._tag === "begun") past = { isOver: false, count: success.queries, queries: new Map() }
    else if (past === undefined) return Result.fail(`line ${index + 1} comes before the beginning of a run`)
    else if (success._tag === "started") past.queries.set(success.key, "started")
    else if (success._tag === "ended") past.queries.set(success.key, success)
    else if (success._tag === "over") past.isOver = true
    else past.isOver = false
  }
  return Result.succeed(past)
}

/**
 * Whether a query may write: unless the server keeps it from that, or each of its statements only reads by its text. The
 * header `-- transaction` says that it writes, where a function does that no text tells of.
 *
 * @internal
 */
export const mayWrite = ({ settings, statements }: FileQuery, defaults: Defaults): boolean =>
  defaults.snapshot === false &&
  settings.partition === undefined &&
  optionsOf(settings, defaults).mode !== "readOnly" &&
  (settings.mode === "transaction" || !statements.every(({ text }) => onlyReads(text)))

/** @internal */
export const keyOf = (query: FileQuery, defaults: Defaults, formatKey: string): string => {
  const { name, settings, statements } = query
  const what = [
    name,
    statements.map(sentOf),
    formatKey,
    optionsOf(settings, defaults).mode ?? "autocommit",
    defaults.snapshot !== false,
    settings.partition ?? null
  ]
  return createHash("sha256").update(JSON.stringify(what)).digest("hex")
}
