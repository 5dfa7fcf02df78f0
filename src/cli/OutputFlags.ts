/**
 * The flags that say what is shown of a run, and to whom.
 *
 * @internal
 */
import { identity, Option } from "effect"
import type { Command } from "effect/cli"
import { Flag } from "effect/cli"
import type { Kept } from "./FileResult.ts"
import { integer } from "./IntegerFlag.ts"
import type { Output } from "./Output.ts"
import { switchFlag } from "./SwitchFlag.ts"
import { shorten } from "./Table.ts"

/** Rows shown of a query when the flag does not say: what a person reads, and what a program may want. */
const defaultMaxRows = { table: 20, json: 1000 }

/** @internal */
export const outputFlags = {
  maxRows: integer("max-rows", 0).pipe(
    Flag.withDescription("Rows per query (default 20, with --json 1000)"),
    Flag.optional
  ),
  json: switchFlag("json", "Print one JSON document"),
  quiet: switchFlag("quiet", "Print nothing but failures").pipe(Flag.withAlias("q")),
  report: Flag.String("report").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("A report: .html, .svg or .json (repeat for more)"),
    Flag.atLeast(0)
  )
}

/**
 * How much of each result is to be kept.
 *
 * @internal
 */
export const keptFor = (
  { json, maxRows }: Pick<Command.Command.Config.Infer<typeof outputFlags>, "json" | "maxRows">,
  { stdout }: Output
): Kept => ({
  keep: json ? identity : (text) => shorten(text, stdout),
  maxRows: Option.getOrElse(maxRows, () => (json ? defaultMaxRows.json : defaultMaxRows.table))
})
