/**
 * Peers in Python: one long-living child process per subject, asked for one round at a time.
 *
 * A child opens its pool once; its seconds are its own, taken around the queries (`peer.py`). The password goes by
 * environment, never by argument. A child ends when the case's scope closes, or, if this process dies without closing
 * it, when the child finds its standard input at an end.
 */
import { Cause, Console, Context, Effect, Layer, Option, Queue, Schema, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import { fileURLToPath } from "node:url"
import { BenchDatabase } from "../Database.ts"
import type { Job } from "../Job.ts"
import type { BenchError, Subject } from "../Suite.ts"
import { benchError, failAs } from "../Suite.ts"

const Versions = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))
const Ready = Schema.fromJsonString(Schema.Struct({ ready: Schema.Literal(true) }))
const Done = Schema.fromJsonString(
  Schema.Struct({
    seconds: Schema.Finite,
    answer: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite]))
  })
)

const needed = ["gevent", "psycopg2", "sqlalchemy", "asyncpg"]

const probe = `
import json, platform, ${needed.join(", ")}
found = {"python": platform.python_version(), ${needed
  .map((name) => `"${name}": ${name}.__version__.split()[0]`)
  .join(", ")}}
try:
    import celery
    found["celery"] = celery.__version__
except ImportError:
    pass
print(json.dumps(found))
`

interface Found {
  readonly command: string
  readonly versions: Readonly<Record<string, string>>
}

/** The first of `python3` and `/usr/bin/python3` that can import all that the peers need, if any can. */
export class Python extends Context.Service<Python, Option.Option<Found>>()("querypool/bench/Python") {
  static readonly layer = Layer.effect(
    Python,
    Effect.gen(function* () {
      const spawner = yield* ChildProcessSpawner
      for (const command of ["python3", "/usr/bin/python3"]) {
        const versions = yield* spawner
          .string(ChildProcess.make(command, ["-c", probe]))
          .pipe(Effect.flatMap(Schema.decodeEffect(Versions)), Effect.option)
        if (Option.isSome(versions)) return Option.some<Found>({ command, versions: versions.value })
      }
      return Option.none<Found>()
    })
  )
}

/** A file of this folder and its arguments. */
type Script = readonly [file: string, ...args: ReadonlyArray<string>]

/** A subject for each script, or a word on standard error where there is no Python to run them. */
export const pythonPeers = Effect.fnUntraced(function* (scripts: Readonly<Record<string, Script>>, job: Job) {
  const python = yield* Python
  if (Option.isSome(python)) {
    return yield* Effect.forEach(Object.entries(scripts), ([name, script]) => peer(name, python.value, script, job))
  }
  const names = Object.keys(scripts).join(", ")
  yield* Console.error(`not found: ${names} (no python3 here can import ${needed.join(", ")})`)
  return []
})

const peer = Effect.fnUntraced(function* (name: string, python: Found, script: Script, job: Job) {
  const { database, host, password, port, username } = yield* BenchDatabase
  const [file, ...args] = script
  const input = yield* Queue.unbounded<string>()
  const child = yield* ChildProcess.make(
    python.command,
    ["-B", fileURLToPath(new URL(file, import.meta.url)), ...args],
    {
      extendEnv: true,
      env: { PGHOST: host, PGPORT: String(port), PGUSER: username, PGPASSWORD: password, PGDATABASE: database },
      stdin: Stream.fromQueue(input).pipe(Stream.encodeText),
      stderr: "inherit",
      forceKillAfter: "2 seconds"
    }
  ).pipe(failAs(name))
  const output = yield* child.stdout.pipe(Stream.decodeText, Stream.splitLines, Stream.toPull)

  // One line out for one line in, so a pull never brings more than the answer that is waited for.
  const ask = <A>(message: unknown, answer: Schema.Codec<A, string>): Effect.Effect<A, BenchError> =>
    Queue.offer(input, `${JSON.stringify(message)}\n`).pipe(
      Effect.andThen(output),
      Effect.flatMap(([line]) => Schema.decodeEffect(answer)(line)),
      Effect.mapError((error) => benchError(name, Cause.isDone(error) ? "ended early" : error))
    )

  yield* ask(job, Ready)
  return {
    name,
    round: Effect.map(ask({ run: true }, Done), ({ answer, seconds }) => ({ measured: seconds, answer }))
  } satisfies Subject
})
