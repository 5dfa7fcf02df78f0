/**
 * What `run` and `plan` are both told: which queries, in which order, how many at once.
 *
 * @internal
 */
import { Argument, Flag } from "effect/cli"
import { integer } from "./IntegerFlag.ts"

/** @internal */
export const planFlags = {
  paths: Argument.String("paths").pipe(
    Argument.withDescription(".sql files and folders, or - for standard input"),
    Argument.variadic()
  ),
  select: Flag.String("select").pipe(
    Flag.withMetavar("pattern"),
    Flag.withDescription("These and their needs: daily/*, tag:key=value"),
    Flag.atLeast(0)
  ),
  order: Flag.Literals("order", ["given", "longest-first"]).pipe(
    Flag.withDescription("Which of those that can start is first (default given)"),
    Flag.withDefault("given")
  ),
  concurrency: integer("concurrency", 1).pipe(
    Flag.withAlias("c"),
    Flag.withDescription("How many queries run at once (default 5)"),
    Flag.withDefault(5)
  )
}
