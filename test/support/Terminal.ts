/**
 * A command on a real terminal (`pty.py`: node cannot make one), and a model of what stands on its screen.
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { TerminalModel } from "./TerminalModel.ts"

const script = fileURLToPath(new URL("./pty.py", import.meta.url))

export interface OnTerminal {
  readonly model: TerminalModel
  /** All that was written, with its control sequences. */
  readonly written: () => string
  readonly resize: (columns: number, rows: number) => void
  /** What a person types: `\u0003` is Ctrl-C. */
  readonly type: (text: string) => void
  readonly hangUp: () => void
  /** The exit code, or minus the number of a signal. */
  readonly ended: Effect.Effect<number>
}

/** `onChange` is called after each piece of what was written. */
export const start = (
  command: readonly [string, ...ReadonlyArray<string>],
  options: {
    readonly columns: number
    readonly rows: number
    readonly env: Readonly<Record<string, string>>
    readonly onChange?: ((model: TerminalModel) => void) | undefined
  }
) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { columns, env, onChange, rows } = options
      const child = spawn("python3", [script, `${columns}`, `${rows}`, ...command], { env })
      const model = new TerminalModel(columns, rows)
      const chunks: Array<Buffer> = []
      let said = ""
      let fault: unknown
      child.stdout.on("data", (chunk: Buffer) => {
        chunks.push(chunk)
        try {
          model.write(chunk)
          if (!model.updating) onChange?.(model)
        } catch (error) {
          fault ??= error
        }
      })
      child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()))
      child.stdin.on("error", () => {})
      const closed = new Promise<void>((resolve, reject) => {
        child.once("error", reject)
        child.once("close", () => resolve())
      })
      const tell = (line: string): void => void child.stdin.write(`${line}\n`)
      const terminal: OnTerminal = {
        model,
        written: () => Buffer.concat(chunks).toString(),
        resize: (columns, rows) => {
          model.resize(columns, rows)
          tell(`resize ${columns} ${rows}`)
        },
        type: (text) => tell(`type ${Buffer.from(text).toString("hex")}`),
        hangUp: () => tell("hangup"),
        ended: Effect.map(
          Effect.promise(() => closed),
          () => {
            if (fault !== undefined) throw fault
            return Number(said.trim().split("\n").at(-1))
          }
        )
      }
      return { child, closed, terminal }
    }),
    ({ child, closed }) =>
      Effect.promise(async () => {
        child.stdin.end()
        child.kill("SIGTERM")
        await closed
      })
  ).pipe(Effect.map(({ terminal }) => terminal))
