/**
 * What the command line says when it cannot do what was asked: one line, and an exit code.
 *
 * @internal
 */
import { Data, Runtime } from "effect"

/** Exit codes of the command: 0 is that every query succeeded. */
export const exitCode = {
  /** Some query failed. */
  queryFailed: 1,
  /** Bad usage or input; nothing was run. */
  usage: 2,
  /** Interrupted, as shells count SIGINT. */
  interrupted: 130
} as const

/**
 * Bad usage or input: says what, where, and what to do; nothing was run.
 *
 * @internal
 */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {
  override readonly [Runtime.errorExitCode] = exitCode.usage
}

/**
 * Some query failed, which has been said already.
 *
 * @internal
 */
export class QueryFailed extends Data.TaggedError("QueryFailed") {
  override readonly [Runtime.errorExitCode] = exitCode.queryFailed
  override readonly message = "Some queries did not succeed"
}
