/**
 * What standard output and standard error can show.
 *
 * @internal
 */
import type { Screen } from "./Table.ts"

const screen = (stream: NodeJS.WriteStream): Screen => ({
  width: stream.isTTY ? stream.columns : undefined,
  // Node's own reading of NO_COLOR, FORCE_COLOR, TERM and what the stream is.
  color: stream.isTTY && stream.hasColors()
})

/** @internal */
export const stdoutScreen = (): Screen => screen(process.stdout)

/** @internal */
export const stderrScreen = (): Screen => screen(process.stderr)
