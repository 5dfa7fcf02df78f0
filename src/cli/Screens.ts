/**
 * What standard output and standard error can show.
 *
 * @internal
 */
import { styleText } from "node:util"
import type { Screen } from "./Table.ts"

const screen = (stream: NodeJS.WriteStream): Screen => ({
  // A terminal that was never told its size says 0.
  width: stream.isTTY && stream.columns > 0 ? stream.columns : undefined,
  // Node's own reading of NO_COLOR, FORCE_COLOR, TERM and what the stream is.
  color: styleText("bold", "x", { stream }) !== "x"
})

/** @internal */
export const stdoutScreen = (): Screen => screen(process.stdout)

/** @internal */
export const stderrScreen = (): Screen => screen(process.stderr)
