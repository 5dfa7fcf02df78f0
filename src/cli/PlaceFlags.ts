/**
 * The flags that say on which databases the queries are run.
 *
 * @internal
 */
import { Effect, Option } from "effect"
import type { Command } from "effect/cli"
import { Flag } from "effect/cli"
import { UsageError } from "./CliFailure.ts"
import { integer } from "./IntegerFlag.ts"
import { switchFlag } from "./SwitchFlag.ts"

/** @internal */
export const placeFlags = {
  url: Flag.Redacted("url").pipe(Flag.withDescription("postgres://user:password@host:5432/database"), Flag.optional),
  embedded: switchFlag("embedded", "Start a throw-away PostgreSQL for this run"),
  targets: Flag.String("targets").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("Run on each database of this file: name = url"),
    Flag.optional
  ),
  total: integer("total", 1).pipe(Flag.withDescription("How many run at once over all targets"), Flag.optional)
}

/**
 * Fails where they name no one place.
 *
 * @internal
 */
export const checkPlace = Effect.fnUntraced(function* ({
  embedded,
  targets,
  total,
  url
}: Command.Command.Config.Infer<typeof placeFlags>): Effect.fn.Return<void, UsageError> {
  const places = [
    ...(Option.isSome(targets) ? ["--targets"] : []),
    ...(embedded ? ["--embedded"] : []),
    ...(Option.isSome(url) ? ["--url"] : [])
  ]
  if (places.length > 1) {
    return yield* new UsageError({ message: `${places.join(" and ")} name different databases. Give one of them` })
  }
  if (Option.isSome(total) && Option.isNone(targets)) {
    return yield* new UsageError({
      message: "--total is for the databases of --targets. For one database say --concurrency"
    })
  }
})
