/**
 * What the command line says when it cannot do what was asked: one line, and an exit code.
 *
 * @internal
 */
import { Data, Runtime } from "effect"
import { toLine } from "./TextValue.ts"

/** Exit codes of the command. */
export const exitCode = {
  /** Every query succeeded. */
  succeeded: 0,
  /** Some query failed, or the results could not be written. */
  failed: 1,
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
  override readonly [Runtime.errorExitCode] = exitCode.failed
  override readonly message = "Some queries did not succeed"
}

/**
 * Everything succeeded, and a run with `--resume` will not know it.
 *
 * @internal
 */
export class NotRecorded extends Data.TaggedError("NotRecorded")<{ readonly message: string }> {
  override readonly [Runtime.errorExitCode] = exitCode.failed
}

/**
 * A message as it may be shown: what it quotes of the arguments may hold a password, where a URL was given in the
 * place of something else, and characters that act on the terminal.
 *
 * @internal
 */
export const sayable = (message: string): string =>
  message
    .replace(/(?<!\bfile):\/\/(?!user:password@)\S*@/g, "://…@")
    .replace(/(password\s*=\s*)(?:'(?:[^'\\]|\\.)*'?|[^\s&"]*)/gi, "$1…")
    .split("\n")
    .map(toLine)
    .join("\n")
