/**
 * Runs every example against a throw-away PostgreSQL, shows what it prints, and compares that with the file beside it.
 *
 *     npm run -s examples                   all of them
 *     npm run -s examples -- 02             those whose name begins so
 *     npm run -s examples -- coming-from    those for who comes from Celery or gevent, and what they wrote in Python
 */
import { NodeRuntime } from "@effect/platform-node"
import { Array, Console, Effect, Redacted } from "effect"
import { execFile, spawnSync } from "node:child_process"
import { existsSync, globSync, readFileSync } from "node:fs"
import { promisify } from "node:util"
import { EmbeddedPostgres } from "querypool/embedded"

const folder = new URL("./", import.meta.url)
const [prefix = ""] = process.argv.slice(2)
const outOf = (name: string): URL => new URL(name.replace(/\.\w+$/, ".out"), folder)

const names = globSync(["[0-9][0-9]-*.ts", "coming-from/*.{ts,py}"], { cwd: folder })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.startsWith(prefix) && existsSync(outOf(name)))
  .toSorted()

const modules = "celery, gevent, psycogreen, psycopg2, sqlalchemy"
const python = ["python3", "/usr/bin/python3"].find(
  (command) => spawnSync(command, ["-c", `import ${modules}`]).status === 0
)

const commandOf = (name: string): readonly [command: string, args: ReadonlyArray<string>] | undefined => {
  const { pathname } = new URL(name, folder)
  if (name.endsWith(".py")) return python === undefined ? undefined : [python, [pathname]]
  return [process.execPath, ["--conditions=@querypool/source", "--disable-warning=ExperimentalWarning", pathname]]
}

const runOne = (name: string, url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const command = commandOf(name)
    if (command === undefined) return yield* Console.log(`${name} is skipped: no Python here has ${modules}\n`)
    const [file, args] = command
    const { stdout } = yield* Effect.tryPromise(() =>
      promisify(execFile)(file, args, {
        // SQLAlchemy knows this scheme alone.
        env: { ...process.env, DATABASE_URL: Redacted.value(url).replace(/^postgres:/, "postgresql:") }
      })
    )
    const expected = readFileSync(outOf(name), "utf8")
    if (stdout !== expected) {
      return yield* Effect.die(new Error(`${name} printed\n${stdout}\nand not what is expected of it\n${expected}`))
    }
    yield* Console.log(`${name} prints, as expected of it:\n${stdout.replaceAll(/^(?=.)/gm, "  ")}`)
  })

const program = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres
  const all = (some: ReadonlyArray<string>) => Effect.forEach(some, (name) => runOne(name, url), { discard: true })
  yield* all(names.filter((name) => !name.includes("/")))
  // Both of a pair one after the other: they share their tables. Most of its time a pair waits for workers to stop.
  const pairs = Array.groupBy(
    names.filter((name) => name.includes("/")),
    (name) => outOf(name).pathname
  )
  yield* Effect.forEach(Object.values(pairs), all, { discard: true, concurrency: 4 })
})

program.pipe(Effect.provide(EmbeddedPostgres.layer()), NodeRuntime.runMain)
