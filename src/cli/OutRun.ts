/**
 * A run in a folder, and the one before it: what is done already, what is to be done, and what nobody knows.
 *
 *     key of a query in the journal      with --resume
 *     Succeeded, its file is there       kept as it is
 *     Succeeded, its file is not         run; one that may write is refused, as it would write twice
 *     failed, with nothing kept          run
 *     started, or failed otherwise       one that may write is refused: it is not known whether it was applied
 *     not there                          run
 *
 * `-- idempotent` allows what would be refused.
 *
 * @internal
 */
import type { PlatformError, Scope } from "effect"
import { Clock, Console, Data, Effect, FileSystem, Option, Path, Random, Result } from "effect"
import { SinkError, WriteFailed } from "../sink/SinkError.ts"
import { sayable, UsageError } from "./CliFailure.ts"
import { outcomeOf } from "./Failure.ts"
import type { Out, OutFile, OutPlan } from "./FileOut.ts"
import * as FileOut from "./FileOut.ts"
import { lock } from "./FolderLock.ts"
import * as Journal from "./Journal.ts"
import type { Ended, Past } from "./JournalRecord.ts"
import { keyOf, mayWrite, readJournal, version } from "./JournalRecord.ts"
import { makeFolders, removePartials, unusable } from "./OutFolder.ts"
import type { Where } from "./OutFlags.ts"
import { ownFolder } from "./OutNames.ts"
import type { FileQuery } from "./QueryFiles.ts"
import type { Defaults } from "./QueryOptions.ts"
import type { Finished } from "./Teller.ts"
import { toLine } from "./TextValue.ts"

/** A query of the run before that may have been applied, and is not run again. */
class MayBeApplied extends Data.TaggedError("MayBeApplied")<{ readonly message: string }> {}

/**
 * What is to be done with a query.
 *
 * @internal
 */
export type Standing =
  | { readonly _tag: "Run" }
  | { readonly _tag: "Kept"; readonly rows: number; readonly file: OutFile | undefined }
  | { readonly _tag: "Refused"; readonly error: MayBeApplied }

/**
 * The files of a run with its journal.
 *
 * @internal
 */
export interface OutRun extends Out {
  readonly standing: (query: FileQuery) => Standing
  /** Comes back when it is safe to send the query's first statement. */
  readonly starting: (query: FileQuery) => Effect.Effect<void, SinkError>
  readonly ended: (finished: Finished) => void
  /** All have ended. */
  readonly over: (all: ReadonlyArray<Finished>) => Effect.Effect<void>
}

/**
 * Opens a folder for a run, until the scope closes.
 *
 * @internal
 */
export const open = Effect.fnUntraced(function* (
  where: Where,
  plan: OutPlan,
  queries: ReadonlyArray<FileQuery>,
  defaults: Defaults
): Effect.fn.Return<OutRun, UsageError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const { folder, formatKey } = where
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const inside = path.join(folder, ownFolder)
  const file = path.join(inside, "journal.ndjson")
  const usable = <A, R>(effect: Effect.Effect<A, UsageError | PlatformError.PlatformError, R>) =>
    Effect.mapError(effect, (error) => (error._tag === "UsageError" ? error : unusable(inside)(error)))

  yield* makeFolders(folder, [...plan.paths.values(), `${ownFolder}/journal`])
  yield* usable(lock(folder, inside))
  yield* removePartials(folder, plan.paths.values())
  const before = yield* usable((yield* usable(fs.exists(file))) ? fs.readFileString(file) : Effect.succeed(""))
  const past = yield* pastOf(where, file, before)
  const journal = yield* usable(
    Journal.open(file, past === undefined ? 0 : Buffer.byteLength(before.slice(0, before.lastIndexOf("\n") + 1)))
  )
  yield* Effect.addFinalizer(() =>
    Effect.catch(journal.flushed, ({ message }) =>
      Console.error(
        sayable(`querypool: ${toLine(file)} could not be written, so that --resume does not know of all: ${message}`)
      )
    )
  )
  const at = new Date(yield* Clock.currentTimeMillis).toISOString()
  const run = (yield* Random.nextIntBetween(0, 0x7fffffff)).toString(16)
  const count = { at, queries: queries.length }
  journal.note(
    past === undefined ? { _tag: "begun", version, run, format: formatKey, ...count } : { _tag: "resumed", ...count }
  )

  const out = yield* FileOut.make(where, plan)
  const keys = new Map(queries.map((query) => [query, keyOf(query, defaults, formatKey)]))
  const writes = new Set(queries.filter((query) => mayWrite(query, defaults)))
  const isThere = Effect.fnUntraced(function* ({ bytes, file: name }: Ended) {
    if (name === undefined) return true
    const info = Option.getOrUndefined(yield* Effect.option(fs.stat(path.join(folder, ...name.split("/")))))
    return info?.type === "File" && Number(info.size) === bytes
  })
  const standings = new Map<FileQuery, Standing>()
  for (const query of queries) {
    const last = past?.queries.get(keys.get(query) ?? "")
    const whole = last !== undefined && last !== "started" && last.outcome === "Succeeded" && (yield* isThere(last))
    const mayNot = writes.has(query) && query.settings.idempotent !== true
    standings.set(query, whole ? keptOf(last, out.pathOf(query)) : standingOf(query.name, last, mayNot))
  }
  const standing = (query: FileQuery): Standing => standings.get(query) ?? { _tag: "Run" }
  return {
    ...out,
    standing,
    starting: (query) => {
      if (!writes.has(query)) return Effect.void
      journal.note({ _tag: "started", key: keys.get(query) ?? "", name: query.name })
      return Effect.mapError(journal.flushed, ({ message }) => {
        return new SinkError({ path: file, reason: new WriteFailed({ code: undefined, message }) })
      })
    },
    ended: (finished) => {
      const { report, result } = finished
      if (standing(result.query)._tag !== "Run") return
      const hasFile = result.file !== undefined
      journal.note({
        _tag: "ended",
        key: keys.get(result.query) ?? "",
        name: report.name,
        outcome: report.outcome,
        kept: report.outcome === "Succeeded" || report.attempts === 0 ? undefined : outcomeOf(finished),
        rows: result.rowCount,
        bytes: result.file?.bytes,
        file: hasFile ? plan.paths.get(result.query) : undefined
      })
    },
    over: (all) =>
      Effect.sync(() => {
        // With fewer than the run had, others of it are still to be run.
        const isWhole = all.length >= (past?.count ?? 0) && all.length === queries.length
        if (isWhole && all.every(({ report }) => report.outcome === "Succeeded")) journal.note({ _tag: "over", at })
      })
  }
})

const keptOf = (last: Ended, path: string | undefined): Standing => ({
  _tag: "Kept",
  rows: last.rows,
  file: path === undefined || last.bytes === undefined ? undefined : { path, bytes: last.bytes }
})

const standingOf = (name: string, last: Ended | "started" | undefined, mayNot: boolean): Standing => {
  if (!mayNot || last === undefined) return { _tag: "Run" }
  const isKept = last === "started" || last.outcome === "Succeeded" || (last.kept ?? "notApplied") !== "notApplied"
  if (!isKept) return { _tag: "Run" }
  const what =
    last !== "started" && last.outcome === "Succeeded"
      ? "it was applied, and its file is not there any more"
      : "it is not known whether it was applied: the run before ended in the middle of it"
  const advice = `If it is to be run again, run it with --select ${name} and another --out, or say \`-- idempotent\``
  return { _tag: "Refused", error: new MayBeApplied({ message: `${what}. ${advice}` }) }
}

/** The run to go on with, if there is one and it is wanted. */
const pastOf = Effect.fnUntraced(function* ({ folder, resume }: Where, file: string, text: string) {
  const read = readJournal(text)
  if (Result.isFailure(read)) {
    if (!resume) return undefined
    const message = `--resume cannot go on: ${toLine(file)}: ${read.failure}. Without --resume a run starts anew`
    return yield* new UsageError({ message })
  }
  const unfinished: Past | undefined = read.success?.isOver === false ? read.success : undefined
  const at = toLine(folder)
  if (resume && unfinished === undefined) {
    yield* Console.error(`There is no unfinished run in ${at}: starting anew`)
  }
  if (!resume && unfinished !== undefined) {
    yield* Console.error(`The run in ${at} was not finished: starting anew, where --resume would have gone on with it`)
  }
  return resume ? unfinished : undefined
})
