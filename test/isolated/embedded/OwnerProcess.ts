/**
 * Processes that own embedded servers, in a temporary folder of their own, and what they leave behind there.
 */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { waitUntil } from "../../support/waitUntil.ts"

interface Process {
  readonly pid: number
  readonly command: string
}

const Announcement = Schema.Struct({
  processId: Schema.Finite,
  url: Schema.String,
  child: Schema.optional(Schema.Finite)
})

type Manner = "plainly" | "orderly" | "forgetful" | "parental"

/** A folder for temporary files that every user can write, as /tmp; everything in it must be gone at the end. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await mkdtemp(join(tmpdir(), "querypool-test-"))
    await chmod(folder, 0o1777)
    return folder
  }),
  (folder) =>
    Effect.promise(async () => {
      const left = await readdir(folder)
      await rm(folder, { recursive: true, force: true })
      assert.deepStrictEqual(left, [], "a test left something in its temporary folder")
    })
)

/** Lets this very process use a temporary folder, and a cache, of its own. */
export const withEnvironment = (variables: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.keys(variables).map((name) => [name, process.env[name]] as const)
      Object.assign(process.env, variables)
      return before
    }),
    (before) =>
      Effect.sync(() => {
        for (const [name, value] of before) {
          if (value === undefined) delete process.env[name]
          else process.env[name] = value
        }
      })
  )

/** Starts a process that owns a server; it is killed at the latest when the scope closes. */
export const spawnOwner = (
  manner: Manner,
  environment: { readonly TMPDIR: string; readonly XDG_CACHE_HOME?: string }
) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const program = join(import.meta.dirname, "ownServer.ts")
      const child = spawn(process.execPath, ["--conditions=@querypool/source", program, manner], {
        detached: true,
        env: { ...process.env, ...environment },
        stdio: ["pipe", "pipe", "inherit"]
      })
      return { child, exited: once(child, "exit"), lines: createInterface(child.stdout) }
    }),
    ({ child, exited }) =>
      Effect.promise(async () => {
        if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
        await exited
      })
  )

/** Starts a process that owns a server and waits until the server is ready. */
export const startOwner = Effect.fnUntraced(function* (...args: Parameters<typeof spawnOwner>) {
  const { child, exited, lines } = yield* spawnOwner(...args)
  const announced = Promise.race([once(lines, "line"), exited.then(() => ["it ended before its server was ready"])])
  const [line] = yield* Effect.promise(() => announced)
  const announcement = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Announcement))(line)
  // A negative id is the whole process group, which is what the terminal signals.
  const signalGroup = (signal: NodeJS.Signals) => Effect.sync(() => process.kill(-(child.pid ?? NaN), signal))
  return { ...announcement, exited: Effect.promise(() => exited), signalGroup }
})

/** The processes whose command line mentions a folder: servers and guards; backends end with their server. */
export const processesIn = (folder: string): Effect.Effect<ReadonlyArray<Process>> =>
  Effect.promise(async () => {
    const { stdout } = await promisify(execFile)("ps", ["-ww", "-eo", "pid=,args="])
    return stdout
      .split("\n")
      .filter((line) => line.includes(folder))
      .map((line) => {
        const [, pid, command] = /^\s*(\d+) (.*)$/.exec(line) ?? []
        return { pid: Number(pid), command: command ?? "" }
      })
  })

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const isGuard = ({ command }: Process): boolean => command.includes("querypool-guard")

/** Kills the guards of the servers in a folder, as kill -9 of every process would. */
export const killGuards = Effect.fnUntraced(function* (folder: string) {
  const guards = (yield* processesIn(folder)).filter(isGuard)
  assert.isNotEmpty(guards)
  // The children first: when the guard itself ends, the owner's end of the pipe closes, and a child that still lived
  // then would stop the server, as it should.
  for (const { pid } of guards.toSorted((a, b) => b.pid - a.pid)) process.kill(pid, "SIGKILL")
  yield* waitUntil(
    "the guards are gone",
    Effect.map(processesIn(folder), (all) => !all.some(isGuard))
  )
})

export const foldersIn = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(() => readdir(folder)).pipe(Effect.map((names) => names.map((name) => join(folder, name))))

/** Waits until neither a server nor a guard nor a folder is left. */
export const waitUntilNothingIsLeft = (folder: string) =>
  waitUntil(
    `neither servers nor folders are left in ${folder}`,
    Effect.gen(function* () {
      return (yield* processesIn(folder)).length === 0 && (yield* foldersIn(folder)).length === 0
    })
  )
