/**
 * The flags that say which files the rows of a run go to.
 *
 * @internal
 */
import { Effect, Option } from "effect"
import type { Command } from "effect/cli"
import { Flag } from "effect/cli"
import * as Csv from "../sink/Csv.ts"
import type { Format } from "../sink/Encoder.ts"
import * as Json from "../sink/Json.ts"
import * as Parquet from "../sink/Parquet.ts"
import { UsageError } from "./CliFailure.ts"
import { switchFlag } from "./SwitchFlag.ts"

const anyColumn = { name: "a", typeOid: 25, typeModifier: -1 }

/** @internal */
export const outFlags = {
  out: Flag.String("out").pipe(
    Flag.withMetavar("folder"),
    Flag.withDescription("Write the rows of each query to a file there"),
    Flag.optional
  ),
  format: Flag.Literals("format", ["csv", "ndjson", "json", "parquet"]).pipe(
    Flag.withDescription("How files are written (default csv)"),
    Flag.optional
  ),
  delimiter: Flag.String("delimiter").pipe(
    Flag.withMetavar("character"),
    Flag.withDescription("Stands between the fields of CSV, \\t for a tab (default ,)"),
    Flag.optional
  ),
  null: Flag.String("null").pipe(
    Flag.withMetavar("text"),
    Flag.withDescription("What stands for NULL in CSV (default nothing)"),
    Flag.optional
  ),
  noHeader: switchFlag("no-header", "Leave the names of the columns out of CSV"),
  guardFormulas: switchFlag("guard-formulas", "Put ' before what a spreadsheet would run"),
  resume: switchFlag("resume", "Go on with the run that was not finished there")
}

const usage = (message: string) => new UsageError({ message })

/**
 * Where the rows of a run go.
 *
 * @internal
 */
export interface Where {
  readonly folder: string
  readonly format: Format
  /** What makes files differ that have the same rows. */
  readonly formatKey: string
  readonly resume: boolean
}

/**
 * What they say, or `undefined` where rows are shown. Fails where one means nothing without another.
 *
 * @internal
 */
export const whereOf = Effect.fnUntraced(function* (
  flags: Command.Command.Config.Infer<typeof outFlags>
): Effect.fn.Return<Where | undefined, UsageError> {
  const { guardFormulas, noHeader, resume } = flags
  const delimiter = Option.getOrUndefined(flags.delimiter)
  const marker = Option.getOrUndefined(flags.null)
  const ofCsv =
    delimiter !== undefined
      ? "--delimiter"
      : marker !== undefined
        ? "--null"
        : noHeader
          ? "--no-header"
          : guardFormulas
            ? "--guard-formulas"
            : undefined
  if (Option.isNone(flags.out)) {
    const without = Option.isSome(flags.format) ? "--format" : (ofCsv ?? (resume ? "--resume" : undefined))
    if (without === undefined) return undefined
    return yield* usage(`${without} is for the files of --out. Give both`)
  }
  if (flags.out.value === "") return yield* usage("--out is empty. Give a folder, such as --out results")
  const name = Option.getOrElse(flags.format, () => "csv" as const)
  if (name !== "csv") {
    if (ofCsv !== undefined) return yield* usage(`${ofCsv} is for --format csv, and the format is ${name}`)
    const format = name === "parquet" ? Parquet.make() : name === "json" ? Json.json : Json.ndjson
    // A package that is missing is said once, and not by every query.
    yield* Effect.mapError(format.encoder([anyColumn]), ({ reason }) => usage(`--format ${name}: ${reason.message}`))
    return { folder: flags.out.value, format, formatKey: name, resume }
  }
  // As it is typed where a shell would need a trick for the character itself.
  const character = delimiter === "\\t" ? "\t" : delimiter
  const options = { delimiter: character, null: marker, header: !noHeader, guardFormulas }
  const format = yield* Effect.try({
    try: () => Csv.make(options),
    catch: (error) => {
      const told = error instanceof Error ? error.message : String(error)
      return usage(told.replace(/^Expected `(\w+)`/, "Expected --$1"))
    }
  })
  return { folder: flags.out.value, format, formatKey: `csv ${JSON.stringify(options)}`, resume }
})
