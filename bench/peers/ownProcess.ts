/**
 * A way in a process of its own, so that its memory is nobody else's: `ownProcessMain.ts` goes it once and says what it
 * took. The password goes by environment, never by argument.
 */
import { Effect, Schema } from "effect"
import { ChildProcess } from "effect/process"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import { fileURLToPath } from "node:url"
import { BenchDatabase } from "../Database.ts"
import type { Case, Subject } from "../Suite.ts"
import { failAs } from "../Suite.ts"
import type { Tally } from "../Tally.ts"
import { answerOf } from "../Tally.ts"

const Spent = Schema.Struct({
  rows: Schema.Int,
  sum: Schema.Int,
  /** Of the work, its first connection included, without the start of the process. */
  seconds: Schema.Finite,
  /** Of the processors, in the process's own code and in the system's on its behalf. */
  cpuSeconds: Schema.Finite,
  /** The most memory that the process ever had (its resident set), from its start to its end. */
  peakBytes: Schema.Finite,
  /** How much more V8 holds after the work than before, with everything still open and the garbage collected. */
  keptBytes: Schema.optional(Schema.Finite)
})

export const SpentJson = Schema.fromJsonString(Spent)

/** What a process of its own is asked to do. */
export interface Task {
  readonly name: string
  readonly kind: "lookups" | "rows" | "export" | "tasks"
  readonly way: string
  readonly expected: Tally
  /** Its work is done by a process that it starts: its own memory and processor time say nothing. */
  readonly startsAnother?: boolean | undefined
  /** The Python that goes it, by the file of its kind. */
  readonly python?: string | undefined
  /** It would take too long with as much as the others: its speed is shown all the same. */
  readonly isSlow?: boolean | undefined
  /** The most that V8 may use for objects that last; the young ones have an eighth of that. */
  readonly heapMegabytes?: number | undefined
}

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

const commandOf = ({ heapMegabytes, kind, python }: Task): readonly [command: string, ...args: Array<string>] =>
  python === undefined
    ? [
        process.execPath,
        "--conditions=@querypool/source",
        // All modules, with their sources, take 32 of 64 MB. With a young generation of the default size, V8 then doubts that
        // what survives it would find room, and collects everything each time: ten times the processor's time.
        ...(heapMegabytes === undefined
          ? []
          : [`--max-old-space-size=${heapMegabytes}`, `--max-semi-space-size=${heapMegabytes / 8}`]),
        here("ownProcessMain.ts"),
        kind
      ]
    : [python, "-B", here(`${kind}.py`)]

const spend = (task: Task) =>
  Effect.gen(function* () {
    const { database, host, password, port, username } = yield* BenchDatabase
    const spawner = yield* ChildProcessSpawner
    const [command, ...args] = commandOf(task)
    const child = ChildProcess.make(command, [...args, task.way, String(task.expected.rows)], {
      extendEnv: true,
      env: { PGHOST: host, PGPORT: String(port), PGUSER: username, PGPASSWORD: password, PGDATABASE: database },
      stderr: "inherit",
      forceKillAfter: "2 seconds"
    })
    return yield* Effect.flatMap(spawner.string(child), Schema.decodeEffect(SpentJson))
  }).pipe(failAs(task.name))

const bytesPerMegabyte = 1e6

/** What the same run of each task took, from several sides: each process is started once, by the case that comes first. */
export const spentCases = Effect.fnUntraced(function* (options: {
  readonly tasks: ReadonlyArray<Task>
  /** What is counted. The speed is shown of the tasks with the most of it: the start of a process is in it. */
  readonly unit: "lookups" | "rows" | "tasks"
  /** Whether a case is added for what is held in memory after the work, of those that can tell. */
  readonly showsKept?: boolean | undefined
}): Effect.fn.Return<ReadonlyArray<Case>> {
  const { showsKept = false, tasks, unit } = options
  const runs = yield* Effect.forEach(tasks, (task) =>
    Effect.map(Effect.cached(spend(task)), (spent) => ({ task, spent }))
  )
  const most = Math.max(...tasks.map(({ expected }) => expected.rows))
  const own = runs.filter(({ task }) => task.startsAnother !== true)
  const timed = runs.filter(({ task }) => task.isSlow === true || task.expected.rows === most)
  const once = { once: true, value: (measured: number) => measured } as const
  return [
    {
      name: "peak memory",
      unit: "MB",
      ...once,
      subjects: subjects(own, ({ peakBytes }) => peakBytes / bytesPerMegabyte)
    },
    ...(showsKept
      ? [
          {
            name: "kept in the heap",
            unit: "MB",
            ...once,
            subjects: subjects(
              own.filter(({ task }) => task.python === undefined),
              ({ keptBytes = 0 }) => Math.max(0, keptBytes / bytesPerMegabyte)
            )
          }
        ]
      : []),
    {
      name: `${most.toLocaleString("en-US")} ${unit}`,
      unit: `${unit}/s`,
      ...once,
      subjects: subjects(timed, ({ rows, seconds }) => rows / seconds)
    },
    {
      name: "client CPU",
      unit: "µs each",
      ...once,
      subjects: subjects(
        timed.filter((run) => own.includes(run)),
        ({ cpuSeconds, rows }) => (cpuSeconds * 1e6) / rows
      )
    }
  ]
})

const subjects = (
  runs: ReadonlyArray<{ readonly task: Task; readonly spent: ReturnType<typeof spend> }>,
  measured: (spent: typeof Spent.Type) => number
): Case["subjects"] =>
  Effect.gen(function* () {
    const context = yield* Effect.context<BenchDatabase | ChildProcessSpawner>()
    return runs.map(({ spent, task }): Subject => ({
      name: task.name,
      round: Effect.map(Effect.provideContext(spent, context), (found) => ({
        measured: measured(found),
        answer: answerOf(found, task.expected)
      }))
    }))
  })
