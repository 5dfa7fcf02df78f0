/**
 * Where the output of a command goes: results to standard output, all that is said of them to standard error, so that a
 * pipe gets results alone.
 *
 * @internal
 */
import { Console, Effect } from "effect"
import { above } from "./LiveLines.ts"
import { stderrScreen, stdoutScreen } from "./Screens.ts"
import type { Screen } from "./Table.ts"

/**
 * Where a run's output goes.
 *
 * @internal
 */
export interface Output {
  readonly console: Pick<Console.Console, "log" | "error">
  /** Puts text on standard output, without an end of line. */
  readonly write: (text: string) => void
  readonly stdout: Screen
  readonly stderr: Screen
  /** Said before the names of queries on standard error, where a run is one of many. */
  readonly target?: string | undefined
  /** Whether rows go to files, so that none are shown. */
  readonly toFiles?: boolean | undefined
}

/**
 * That of this process.
 *
 * @internal
 */
export const ofProcess: Effect.Effect<Output> = Effect.map(Console.Console, (console) => ({
  console,
  write: (text) => void above(() => process.stdout.write(text)),
  stdout: stdoutScreen(),
  stderr: stderrScreen()
}))
