/**
 * The files of `--report`: which there are to be, checked before anything is run, and written when all is over.
 *
 * A file is written beside its place and renamed, so that whoever looks finds the one before or the whole new one. What
 * cannot be written is said in a line.
 *
 * @internal
 */
import { Console, Effect, FileSystem, Path } from "effect"
import type { PlatformError } from "effect/PlatformError"
import type * as ReportDocument from "../../query/ReportDocument.ts"
import { QueryFailed, sayable, UsageError } from "../CliFailure.ts"
import { toLine } from "../TextValue.ts"
import { version } from "../version.ts"

type Form = "html" | "json" | "svg"

/**
 * A file that is to be written.
 *
 * @internal
 */
export interface ReportFile {
  readonly path: string
  readonly form: Form
}

const formOf = (path: string): Form | undefined => {
  const [, ending] = /\.(html|json|svg)$/i.exec(path) ?? []
  const form = ending?.toLowerCase()
  return form === "html" || form === "json" || form === "svg" ? form : undefined
}

const whyUnwritable: ReadonlyMap<unknown, string> = new Map([
  ["ENOENT", "there is no such folder. Make it first"],
  ["ENOTDIR", "there is no such folder. Make it first"],
  ["EACCES", "its folder may not be written to"],
  ["EPERM", "its folder may not be written to"],
  ["EROFS", "its file system is read-only"],
  ["ENOSPC", "its disk is full"],
  ["EDQUOT", "its disk is full"],
  ["ENAMETOOLONG", "its name is too long"]
])

const unwritable = (path: string, { reason }: PlatformError): string => {
  const { cause } = reason
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  return `--report ${toLine(path)}: ${whyUnwritable.get(code) ?? `it cannot be written: ${reason.message}`}`
}

/** Beside the file, under a name that nobody else has. */
const besideOf = Effect.fnUntraced(function* (path: string) {
  const { basename, dirname, join } = yield* Path.Path
  const random = Math.random().toString(36).slice(2, 8)
  return join(dirname(path), `.${basename(path)}.${process.pid}-${random}.partial`)
})

/** Writes to a file beside, and does with it what is to be done. Whatever happens, that file is gone in the end. */
const beside = Effect.fnUntraced(function* (
  path: string,
  text: string,
  then: (written: string) => Effect.Effect<void, PlatformError>
): Effect.fn.Return<void, PlatformError, FileSystem.FileSystem | Path.Path> {
  const fileSystem = yield* FileSystem.FileSystem
  const written = yield* besideOf(path)
  yield* fileSystem
    .writeFileString(written, text, { flag: "wx" })
    .pipe(Effect.andThen(then(written)), Effect.ensuring(Effect.ignore(fileSystem.remove(written, { force: true }))))
})

/**
 * The files that these paths name. Fails with one line where one of them could not be written.
 *
 * @internal
 */
export const reportFiles = Effect.fnUntraced(function* (
  paths: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<ReportFile>, UsageError, FileSystem.FileSystem | Path.Path> {
  const fileSystem = yield* FileSystem.FileSystem
  return yield* Effect.forEach([...new Set(paths)], (path) =>
    Effect.gen(function* () {
      const form = formOf(path)
      const fault = (why: string) => new UsageError({ message: `--report ${toLine(path)}: ${why}` })
      if (form === undefined) return yield* fault("expected a name that ends in .html, .json or .svg")
      const info = yield* Effect.option(fileSystem.stat(path))
      if (info._tag === "Some" && info.value.type !== "File") return yield* fault("something that is no file is there")
      yield* Effect.mapError(
        beside(path, "", () => Effect.void),
        (error) => new UsageError({ message: unwritable(path, error) })
      )
      return { path, form }
    })
  )
})

/** Loaded when one is written: no other run is to wait for it. */
const textOf = (form: Form, document: ReportDocument.Document): Effect.Effect<string> => {
  if (form === "html")
    return Effect.map(
      Effect.promise(() => import("./Page.ts")),
      ({ page }) => page(document)
    )
  if (form === "svg")
    return Effect.map(
      Effect.promise(() => import("./Picture.ts")),
      ({ picture }) => picture(document)
    )
  return Effect.sync(() => jsonOf(document))
}

/** An object that ends in an array, as far as that begins. */
const open = (fields: object, name: string): string => `${JSON.stringify(fields).slice(0, -1)},"${name}":[`

/** A line for each query. */
const jsonOf = ({ runs, ...head }: ReportDocument.Document): string => {
  const lines = runs.map(
    ({ queries, ...facts }) =>
      `${open(facts, "queries")}\n${queries.map((query) => JSON.stringify(query)).join(",\n")}\n]}`
  )
  return `${open(head, "runs")}\n${lines.join(",\n")}\n]}\n`
}

/**
 * Writes the files, unless nothing was run. What cannot be written is said, and fails the command.
 *
 * @internal
 */
export const writeReports = (
  files: ReadonlyArray<ReportFile>,
  runs: ReadonlyArray<ReportDocument.Run>
): Effect.Effect<void, QueryFailed, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    if (runs.length === 0) return
    const fileSystem = yield* FileSystem.FileSystem
    const document: ReportDocument.Document = {
      format: "querypool/report",
      version: 1,
      generator: `querypool ${version}`,
      runs
    }
    let failed = false
    for (const { form, path } of files) {
      const text = yield* textOf(form, document)
      yield* Effect.catch(
        beside(path, text, (written) => fileSystem.rename(written, path)),
        (error) => {
          failed = true
          return Console.error(`querypool: ${sayable(unwritable(path, error))}`)
        }
      )
    }
    if (failed) return yield* new QueryFailed()
  })
