/**
 * A run in a folder, and what was done there before.
 *
 * - Nothing of the journal changes before the first query is about to run.
 * - A run is over when its command has nothing left to do: all has succeeded, and what it printed has been read. A kill
 *   before leaves it open, and it is gone on with by keeping all of it.
 * - Queries that begin anew leave what is known of others as it is.
 *
 * @internal
 */
import type { PlatformError, Scope } from "effect"
import { Clock, Console, Effect, FileSystem, Option, Path, Result } from "effect"
import { SinkError, WriteFailed } from "../sink/SinkError.ts"
import { NotRecorded, sayable, UsageError } from "./CliFailure.ts"
import { outcomeOf } from "./Failure.ts"
import type { Out, OutPlan } from "./FileOut.ts"
import * as FileOut from "./FileOut.ts"
import { lock } from "./FolderLock.ts"
import * as Journal from "./Journal.ts"
import type { Ended, Past } from "./JournalRecord.ts"
import { headLine, keyOf, linesOfOthers, mayWrite, readJournal, succeededIn, textOf } from "./JournalRecord.ts"
import { makeFolders, removePartials, unusable } from "./OutFolder.ts"
import type { Where } from "./OutFlags.ts"
import { ownFolder } from "./OutNames.ts"
import type { FileQuery } from "./QueryFiles.ts"
import type { Defaults } from "./QueryOptions.ts"
import type { Standing } from "./Standing.ts"
import { kept, ofWriter, toRun } from "./Standing.ts"
import type { Finished } from "./Teller.ts"
import { toLine } from "./TextValue.ts"

/**
 * What a command with `--out` is about.
 *
 * @internal
 */
export interface Work {
  readonly queries: ReadonlyArray<FileQuery>
  readonly plan: OutPlan
  readonly defaults: Defaults
  /** Names of all queries in its files, those that are not selected as well. */
  readonly among: ReadonlyArray<string>
}

/**
 * A folder that nobody else has until the scope closes, and what was done there before.
 *
 * @internal
 */
export interface Folder {
  readonly path: string
  readonly journal: string
  /** All lines of the journal that were written to their end. */
  readonly text: string
  readonly past: Past
}

/**
 * The files of a run with its journal.
 *
 * @internal
 */
export interface OutRun extends Out {
  readonly standing: (query: FileQuery) => Standing
  /** Begins: comes back when the journal says so. */
  readonly begin: Effect.Effect<void, UsageError>
  /** Comes back when it is safe to send the query's first statement. */
  readonly starting: (query: FileQuery) => Effect.Effect<void, SinkError>
  readonly ended: (finished: Finished) => void
  /** All have succeeded, and nothing else is left to do. */
  readonly over: Effect.Effect<void, NotRecorded>
}

const usable = <A, R>(
  folder: string,
  effect: Effect.Effect<A, UsageError | SinkError | PlatformError.PlatformError, R>
) => Effect.mapError(effect, unusable(folder))

/**
 * Takes a folder for a run, and reads what was done there.
 *
 * @internal
 */
export const open = Effect.fnUntraced(function* (
  { folder, resume }: Where,
  { plan }: Work
): Effect.fn.Return<Folder, UsageError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const inside = path.join(folder, ownFolder)
  const journal = path.join(inside, "journal.ndjson")
  const files = [...plan.paths.values(), `${ownFolder}/journal`]
  yield* makeFolders(folder, files)
  yield* usable(inside, lock(folder, inside))
  const isThere = yield* usable(inside, fs.exists(journal))
  const text = isThere ? yield* usable(inside, fs.readFileString(journal)) : ""
  const past = yield* pastOf(journal, text, resume)
  yield* removePartials(folder, [...files, ...past.open])
  return { path: folder, journal, text: text.slice(0, text.lastIndexOf("\n") + 1), past }
})

/**
 * A run in a folder, which goes on with what was done there, or begins anew. Runs of one name are one run.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function* (
  folder: Folder,
  { format, formatKey }: Where,
  { among, defaults, plan, queries }: Work,
  { goesOn, name }: { readonly goesOn: boolean; readonly name: string }
): Effect.fn.Return<OutRun, never, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const { past } = folder
  const services = yield* Effect.context<FileSystem.FileSystem | Path.Path | Scope.Scope>()
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const out = yield* FileOut.make({ folder: folder.path, format }, plan)
  const keys = new Map(queries.map((query) => [query, keyOf(query, defaults, formatKey)]))
  const writes = new Set(queries.filter((query) => mayWrite(query, defaults)))

  const isWhole = Effect.fnUntraced(function* ({ bytes, file, outcome }: Ended) {
    if (outcome !== "Succeeded" || file === undefined) return outcome === "Succeeded"
    const info = Option.getOrUndefined(yield* Effect.option(fs.stat(path.join(folder.path, ...file.split("/")))))
    return info?.type === "File" && Number(info.size) === bytes
  })
  const standings = new Map<FileQuery, Standing>()
  for (const query of goesOn ? queries : []) {
    const last = past.queries.get(keys.get(query) ?? "")
    const mayNot = writes.has(query) && query.settings.idempotent !== true
    if (last?._tag === "ended" && (yield* isWhole(last))) standings.set(query, kept(last, out.pathOf(query)))
    else if (last !== undefined && mayNot) standings.set(query, ofWriter(last))
  }
  const standing = (query: FileQuery): Standing => standings.get(query) ?? toRun

  const names = queries.map((query) => query.name)
  const own = new Set(names)
  const now = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())
  let journal: Journal.Journal | undefined
  let isTold = false
  const flushed = Effect.gen(function* () {
    if (journal === undefined) return undefined
    yield* journal.flushed
    // A file that was removed takes lines as before.
    if (yield* Effect.orElseSucceed(fs.exists(folder.journal), () => false)) return undefined
    const reason = new WriteFailed({ code: undefined, message: "it has been removed" })
    return yield* new SinkError({ path: folder.journal, reason })
  })
  const begin = Effect.gen(function* () {
    const at = yield* now
    const text = goesOn
      ? folder.text + textOf([headLine("resumed", name, at, names)])
      : textOf([...linesOfOthers(past, own, at), headLine("begun", name, at, names)])
    journal = yield* Journal.begin(folder.journal, text)
    yield* Effect.addFinalizer(() =>
      Effect.catch(flushed, (error) =>
        isTold ? Effect.void : Console.error(`querypool: ${notRecorded(error).message}`)
      )
    )
  })
  const over = Effect.gen(function* () {
    const others = among.filter((each) => past.open.has(each) && !own.has(each))
    const done = succeededIn(past)
    if (others.every((each) => done.has(each)))
      journal?.note({ _tag: "over", at: yield* now, names: [...names, ...others] })
    yield* Effect.mapError(flushed, (error) => {
      isTold = true
      return notRecorded(error)
    })
  })
  return {
    ...out,
    standing,
    begin: Effect.provideContext(usable(path.dirname(folder.journal), begin), services),
    starting: (query) => {
      if (!writes.has(query)) return Effect.void
      journal?.note({ _tag: "started", key: keys.get(query) ?? "", name: query.name })
      return journal?.flushed ?? Effect.void
    },
    ended: (finished) => {
      const { report, result } = finished
      if (standing(result.query)._tag !== "Run") return
      journal?.note({
        _tag: "ended",
        key: keys.get(result.query) ?? "",
        name: report.name,
        outcome: report.outcome,
        kept: report.outcome === "Succeeded" || report.attempts === 0 ? undefined : outcomeOf(finished),
        rows: result.rowCount,
        bytes: result.file?.bytes,
        file: result.file === undefined ? undefined : plan.paths.get(result.query)
      })
    },
    over
  }
})

const notRecorded = ({ message }: SinkError): NotRecorded =>
  new NotRecorded({ message: sayable(`${message}. What was done is done, but --resume does not know all of it`) })

/** What the journal says, or nothing where that cannot be read and is not wanted. */
const pastOf = Effect.fnUntraced(function* (file: string, text: string, resume: boolean) {
  const read = readJournal(text)
  if (Result.isSuccess(read)) return read.success
  const what = `${toLine(file)}: ${read.failure}`
  if (resume) {
    return yield* new UsageError({ message: `--resume cannot go on: ${what}. Without --resume a run starts anew` })
  }
  yield* Console.error(`${what}: starting anew without what it knew`)
  return nothingKnown
})

const nothingKnown: Past = { run: undefined, open: new Set(), queries: new Map() }
