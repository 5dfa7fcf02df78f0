/**
 * Runs every example against a throw-away PostgreSQL, shows what it prints, and compares that with the file beside it.
 *
 *     npm run -s examples             all of them
 *     npm run -s examples -- 02       those whose name begins so
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Redacted } from "effect"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { promisify } from "node:util"
import { EmbeddedPostgres } from "querypool/embedded"

const folder = new URL("./", import.meta.url)
const [prefix = ""] = process.argv.slice(2)
const names = readdirSync(folder)
  .filter((name) => /^\d\d-.*\.ts$/.test(name) && name.startsWith(prefix))
  .toSorted()

const runOne = (name: string, url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const { stdout } = yield* Effect.tryPromise(() =>
      promisify(execFile)(
        process.execPath,
        ["--conditions=@querypool/source", "--disable-warning=ExperimentalWarning", new URL(name, folder).pathname],
        { env: { ...process.env, DATABASE_URL: Redacted.value(url) } }
      )
    )
    const expected = readFileSync(new URL(name.replace(/\.ts$/, ".out"), folder), "utf8")
    if (stdout !== expected) {
      return yield* Effect.die(new Error(`${name} printed\n${stdout}\nand not what is expected of it\n${expected}`))
    }
    yield* Console.log(`${name} prints, as expected of it:\n${stdout.replaceAll(/^(?=.)/gm, "  ")}`)
  })

const program = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres
  yield* Effect.forEach(names, (name) => runOne(name, url), { discard: true })
})

program.pipe(Effect.provide(EmbeddedPostgres.layer()), NodeRuntime.runMain)
