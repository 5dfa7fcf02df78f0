/**
 * The flags that say how the queries are run, where their files say nothing else.
 *
 * @internal
 */
import { Effect, Option } from "effect"
import type { Command } from "effect/cli"
import { Flag } from "effect/cli"
import { UsageError } from "./CliFailure.ts"
import { durationFlag } from "./DurationText.ts"
import type * as FileRun from "./FileRun.ts"
import { integer } from "./IntegerFlag.ts"
import type { Defaults } from "./QueryOptions.ts"
import { switchFlag } from "./SwitchFlag.ts"

/** @internal */
export const runFlags = {
  param: Flag.String("param").pipe(
    Flag.withMetavar("name=value"),
    Flag.withDescription("Value of :name in queries (repeat for more)"),
    Flag.atLeast(0)
  ),
  onError: Flag.Literals("on-error", ["continue", "stop"]).pipe(
    Flag.withDescription("What one failure means for the others (default continue)"),
    Flag.withDefault("continue")
  ),
  singleTransaction: switchFlag("single-transaction", "Run each query as one transaction"),
  readOnly: switchFlag("read-only", "Let the server refuse whatever would write"),
  snapshot: switchFlag("snapshot", "Let all queries see one moment of the database"),
  allowStandby: switchFlag("allow-standby", "Take the snapshot on a standby, too"),
  timeout: durationFlag("timeout").pipe(
    Flag.withDescription("Time for a query with its retries, such as 30s"),
    Flag.optional
  ),
  queueTimeout: durationFlag("queue-timeout").pipe(
    Flag.withDescription("Time for a query to wait for its turn and needs"),
    Flag.optional
  ),
  deadline: durationFlag("deadline").pipe(Flag.withDescription("Time for all queries together"), Flag.optional),
  retries: integer("retries", 0, 999_999).pipe(
    Flag.withDescription("Retries of failures that may pass (default 0)"),
    Flag.withDefault(0)
  )
}

/**
 * What they say of a run. Fails where one means nothing without another.
 *
 * @internal
 */
export const runOptions = Effect.fnUntraced(function* (
  flags: Omit<Command.Command.Config.Infer<typeof runFlags>, "param">
): Effect.fn.Return<Defaults & Pick<FileRun.Options, "queueTimeout" | "deadline" | "stopOnError">, UsageError> {
  const { allowStandby, deadline, onError, queueTimeout, readOnly, retries, singleTransaction, snapshot, timeout } =
    flags
  if (allowStandby && !snapshot) {
    return yield* new UsageError({ message: "--allow-standby is for the snapshot of --snapshot. Give both" })
  }
  return {
    singleTransaction,
    readOnly,
    snapshot: allowStandby ? { allowStandby } : snapshot,
    timeout: Option.getOrUndefined(timeout),
    retries,
    queueTimeout: Option.getOrUndefined(queueTimeout),
    deadline: Option.getOrUndefined(deadline),
    stopOnError: onError === "stop"
  }
})
