/**
 * The lines of a journal, and what is known of queries by them.
 *
 *     (begun | resumed)   started*   ended*   over?   and the same again
 *
 * - `started` is there of queries that may write, and on the disk before their first statement is sent. So one that was
 *   applied has at least that line, whatever happened since.
 * - Queries whose run has begun are open, until a line `over` names them: all of them have succeeded, and whoever ran
 *   them has been told so.
 * - A query is known by its key, of which a change of its text, its values or its format makes another: what was done
 *   for the old one says nothing of the new one. What is open is known by its name, as one that never began has no key.
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

const head = {
  version: Schema.Literal(version),
  /** The same in all folders that a command writes to. */
  run: Schema.String,
  at: Schema.String,
  names: Schema.Array(Schema.String)
}
/** Nothing of what was known of these is true any more. */
const Begun = Schema.TaggedStruct("begun", head)
const Resumed = Schema.TaggedStruct("resumed", head)
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
const Over = Schema.TaggedStruct("over", { at: Schema.String, names: Schema.Array(Schema.String) })

const LineSchema = Schema.Union([Begun, Resumed, Started, Ended, Over])

/** @internal */
export type Line = typeof LineSchema.Type

/** @internal */
export type Ended = typeof Ended.Type

/** @internal */
export type Started = typeof Started.Type

const encodeLine = Schema.encodeSync(Schema.fromJsonString(LineSchema))
const decodeLine = Schema.decodeUnknownResult(Schema.fromJsonString(LineSchema))

/** @internal */
export const textOf = (lines: ReadonlyArray<Line>): string => lines.map((line) => `${encodeLine(line)}\n`).join("")

/**
 * The first line of queries that begin, or that are gone on with.
 *
 * @internal
 */
export const headLine = (_tag: "begun" | "resumed", run: string, at: string, names: ReadonlyArray<string>): Line => ({
  _tag,
  version,
  run,
  at,
  names
})

/**
 * What the lines say.
 *
 * @internal
 */
export interface Past {
  /** The last run that began there, or was gone on with. */
  readonly run: string | undefined
  /** Names of the queries whose run is not over. */
  readonly open: ReadonlySet<string>
  /** By key: how it ended last, or that it began where nothing is known of its end. */
  readonly queries: ReadonlyMap<string, Started | Ended>
}

/**
 * Reads a journal. What stands behind the last line's end was not written to its end, and is nothing. Says which line is
 * garbage otherwise.
 *
 * @internal
 */
export const readJournal = (text: string): Result.Result<Past, string> => {
  let run: string | undefined
  const open = new Set<string>()
  const queries = new Map<string, Started | Ended>()
  const lines = text.split("\n")
  for (const [index, content] of lines.entries()) {
    // A crash of the machine may also leave a last line of zeros, with or without its end.
    const isLast = index >= lines.length - 2 && lines.slice(index + 1).every((later) => later === "")
    if (content === "" && isLast) break
    const read = decodeLine(content)
    if (Result.isFailure(read)) {
      if (isLast) break
      return Result.fail(`line ${index + 1} is none of a journal's`)
    }
    const line = read.success
    if (line._tag === "started" || line._tag === "ended") queries.set(line.key, line)
    else if (line._tag === "over") for (const name of line.names) open.delete(name)
    else {
      run = line.run
      if (line._tag === "begun") {
        const names = new Set(line.names)
        for (const [key, { name }] of queries) if (names.has(name)) queries.delete(key)
      }
      for (const name of line.names) open.add(name)
    }
  }
  return Result.succeed({ run, open, queries })
}

/**
 * The lines to keep where queries of these names begin anew: what is known of all others, as long as the run of one of
 * these is not over.
 *
 * @internal
 */
export const linesOfOthers = (
  { open, queries, run = "" }: Past,
  names: ReadonlySet<string>,
  at: string
): ReadonlyArray<Line> => {
  const left = [...open].filter((name) => !names.has(name))
  if (left.length === 0) return []
  return [headLine("begun", run, at, left), ...[...queries.values()].filter(({ name }) => !names.has(name))]
}

const isDone = (line: Started | Ended): boolean => line._tag === "ended" && line.outcome === "Succeeded"

/**
 * Names of the queries that have succeeded, whatever their text was.
 *
 * @internal
 */
export const succeededIn = ({ queries }: Past): ReadonlySet<string> => {
  const lines = [...queries.values()]
  const undone = new Set(lines.filter((line) => !isDone(line)).map(({ name }) => name))
  return new Set(lines.map(({ name }) => name).filter((name) => !undone.has(name)))
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
