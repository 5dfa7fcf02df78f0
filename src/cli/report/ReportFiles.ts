/**
 * The files of `--report`: which there are to be, checked before anything is run, and written when all is over.
 *
 * A file is written beside its place and renamed, so that whoever looks finds the one before or the whole new one. What
 * cannot be written is said in a line.
 *
 * @internal
 */
import type { FileSystem, Path } from "effect"
import { Console, Effect } from "effect"
import type * as ReportDocument from "../../query/ReportDocument.ts"
import type { SinkError } from "../../sink/SinkError.ts"
import * as SinkFile from "../../sink/SinkFile.ts"
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

type Files = FileSystem.FileSystem | Path.Path

const formOf = (path: string): Form | undefined => {
  const [, ending] = /\.(html|json|svg)$/i.exec(path) ?? []
  const form = ending?.toLowerCase()
  return form === "html" || form === "json" || form === "svg" ? form : undefined
}

/**
 * The files that these paths name. Fails with one line where one of them could not be written.
 *
 * @internal
 */
export const reportFiles = (
  paths: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<ReportFile>, UsageError, Files> =>
  Effect.forEach(
    [...new Set(paths)],
    Effect.fnUntraced(function* (path): Effect.fn.Return<ReportFile, UsageError, Files> {
      const fault = (why: string) => new UsageError({ message: `--report ${toLine(path)}: ${why}` })
      const form = formOf(path)
      if (form === undefined) return yield* fault("expected a name that ends in .html, .json or .svg")
      // Begun, and given up at once: what is in the way is to be known before the queries run, and not after hours.
      yield* Effect.mapError(Effect.scoped(SinkFile.create(path)), ({ reason }) => fault(reason.message))
      return { path, form }
    })
  )

/** Loaded when one is written: no other run is to wait for it. */
const textOf = (form: Form, document: ReportDocument.Document): Effect.Effect<string> => {
  if (form === "json") return Effect.sync(() => jsonOf(document))
  return form === "html"
    ? Effect.map(
        Effect.promise(() => import("./Page.ts")),
        ({ page }) => page(document)
      )
    : Effect.map(
        Effect.promise(() => import("./Picture.ts")),
        ({ picture }) => picture(document)
      )
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

const write = (path: string, text: string): Effect.Effect<void, SinkError, Files> =>
  Effect.scoped(
    Effect.flatMap(SinkFile.create(path), (file) => Effect.andThen(file.write(Buffer.from(text)), file.keep))
  )

/**
 * Writes the files, unless nothing was run. What cannot be written is said, and fails the command.
 *
 * @internal
 */
export const writeReports = Effect.fnUntraced(function* (
  files: ReadonlyArray<ReportFile>,
  runs: ReadonlyArray<ReportDocument.Run>
): Effect.fn.Return<void, QueryFailed, Files> {
  if (runs.length === 0) return
  const document: ReportDocument.Document = {
    format: "querypool/report",
    version: 1,
    generator: `querypool ${version}`,
    runs
  }
  let failed = false
  for (const { form, path } of files) {
    yield* Effect.catch(write(path, yield* textOf(form, document)), ({ reason }) => {
      failed = true
      return Console.error(`querypool: ${sayable(`--report ${toLine(path)}: ${reason.message}`)}`)
    })
  }
  if (failed) return yield* new QueryFailed()
})
