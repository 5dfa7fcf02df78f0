/**
 * The command `querypool` in a process of its own, as a person or a script starts it.
 *
 * It sees nothing of the environment of the tests but what it is given: no database, no password file, no colours.
 */
import type { Scope } from "effect"
import { Effect, Redacted } from "effect"
import { spawn } from "node:child_process"
import type { Writable } from "node:stream"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Pg } from "../../support/Pg.ts"

export const bin = fileURLToPath(new URL("../../../src/cli/bin.ts", import.meta.url))

export interface Options {
  /** Those that are `undefined` are not set. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** What it reads from standard input, which is at its end otherwise. `open` leaves it to `Running.stdin`. */
  readonly stdin?: string | Uint8Array | "open" | undefined
  /** For node itself, before the program. */
  readonly node?: ReadonlyArray<string> | undefined
  /** The file that standard output goes to. Default: to `Ended.stdout`. */
  readonly into?: string | undefined
}

export interface Ended {
  readonly stdout: string
  readonly stderr: string
  readonly code: number | null
}

export interface Running {
  readonly pid: number
  readonly stdin: Writable
  readonly signal: (signal: NodeJS.Signals) => void
  /** Closes our end of its standard output, as `head` does. */
  readonly stopReading: () => void
  /** What it has written so far. */
  readonly soFar: () => { readonly stdout: string; readonly stderr: string }
  readonly ended: Effect.Effect<Ended>
}

/** All that it sees of an environment. */
export const environmentOf = (env: Options["env"]): Readonly<Record<string, string>> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: tmpdir(),
  TMPDIR: tmpdir(),
  // What it learns of how long queries take is not to be this user's.
  XDG_CACHE_HOME: join(tmpdir(), "cache"),
  // Compiling what it loads would take two thirds of its time to start, each time.
  NODE_COMPILE_CACHE: join(tmpdir(), "compiled"),
  ...env
})

/** Starts it; it is killed when the scope closes, if it runs until then. */
export const start = (args: ReadonlyArray<string>, options: Options = {}): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const own = ["--conditions=@querypool/source"]
        const command = [...own, ...(options.node ?? []), bin, ...args]
        const environment = environmentOf(options.env)
        const child =
          options.into === undefined
            ? spawn(process.execPath, command, { env: environment })
            : spawn("/bin/sh", ["-c", `exec "$0" "$@" > ${options.into}`, process.execPath, ...command], {
                env: environment
              })
        const said: Record<"stdout" | "stderr", Array<Buffer>> = { stdout: [], stderr: [] }
        child.stdout.on("data", (chunk: Buffer) => said.stdout.push(chunk))
        child.stderr.on("data", (chunk: Buffer) => said.stderr.push(chunk))
        // It may have ended without reading all of it.
        child.stdin.on("error", () => {})
        if (options.stdin !== "open") child.stdin.end(options.stdin ?? "")
        const closed = new Promise<number | null>((resolve) => child.once("close", resolve))
        return { child, said, closed }
      }),
      ({ child, closed }) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return closed
        })
    ),
    ({ child, closed, said }) => {
      const soFar = () => ({
        stdout: Buffer.concat(said.stdout).toString(),
        stderr: Buffer.concat(said.stderr).toString()
      })
      return {
        pid: child.pid ?? -1,
        stdin: child.stdin,
        signal: (signal) => void child.kill(signal),
        stopReading: () => void child.stdout.destroy(),
        soFar,
        ended: Effect.map(
          Effect.promise(() => closed),
          (code) => ({ ...soFar(), code })
        )
      }
    }
  )

/** Runs it to its end. */
export const querypool = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(args, options), (running) => running.ended))

/** The URL of the file's database. What connects by it is seen by the file's observer. */
export const databaseUrl = Effect.map(Pg, ({ applicationName, url }) => {
  const named = new URL(Redacted.value(url))
  named.searchParams.set("application_name", applicationName)
  return named.href
})

/** Runs these queries, each under its `-- name:` line, on the file's database. */
export const run = (sql: string, args: ReadonlyArray<string> = [], options?: Options) =>
  Effect.flatMap(databaseUrl, (url) =>
    querypool(["run", "-", ...args], { stdin: sql, ...options, env: { DATABASE_URL: url, ...options?.env } })
  )

/** One query of the document of `--json`. */
interface QueryDocument {
  readonly name: string
  readonly outcome: string
  readonly command: string | null
  readonly parts?: number
  readonly rowCount: number
  readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly truncated: boolean
  readonly error?: {
    readonly reason: string
    readonly sqlState: string | null
    readonly message: string
    readonly outcome: string
    readonly connection: string | null
    readonly line: number | null
    readonly column: number | null
  }
  readonly because?: string
  readonly waitedSeconds: number
  readonly ranSeconds: number
  readonly attempts: number
}

export interface Document {
  readonly queries: ReadonlyArray<QueryDocument>
  readonly makespanSeconds: number
  readonly lowerBoundSeconds: number
  readonly binding: string
  readonly criticalPath: ReadonlyArray<string>
  readonly snapshot?: { readonly heldSeconds: number; readonly lost: boolean }
}

export const documentOf = ({ stdout }: Pick<Ended, "stdout">): Document => JSON.parse(stdout)

/** As `run`, with `--json`: gives the document, and how the command ended. */
export const runJson = (sql: string, args: ReadonlyArray<string> = [], options?: Options) =>
  Effect.map(run(sql, ["--json", ...args], options), (ended) => ({ ...ended, document: documentOf(ended) }))

/** Name and outcome of each query. */
export const outcomesOf = (document: Document): Readonly<Record<string, string>> =>
  Object.fromEntries(document.queries.map(({ name, outcome }) => [name, outcome]))

/** The first row of each query. */
export const firstRowsOf = (document: Document): Readonly<Record<string, unknown>> =>
  Object.fromEntries(document.queries.map(({ name, rows }) => [name, rows[0]]))
