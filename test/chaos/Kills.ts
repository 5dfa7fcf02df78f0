/**
 * Runs that are killed at any moment, and gone on with by `--resume` until one comes to its end.
 *
 * By then files are those of a run that nobody disturbed, nothing was written twice, nothing that had ended was read
 * again, and no partial file is left. A query that may have been applied is refused, and never run again.
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Server } from "../support/Server.ts"
import { Dice } from "./Dice.ts"

const bin = fileURLToPath(new URL("../../src/cli/bin.ts", import.meta.url))

const application = "querypool-kills"
const readers = 8
const transactions = 4
const scripts = 3
const slowest = 0.12

/** The delays differ, so that at each moment something else is under way. */
const queries = [
  ...Array.from({ length: readers }, (_, n) => {
    const delay = `(select pg_sleep(${(slowest * n) / readers}))`
    return `-- name: read/${n}\nselect i, md5(i::text) as t, null as n from generate_series(1, ${2000 * (n + 1)}) as i, ${delay} as s;`
  }),
  ...Array.from(
    { length: transactions },
    (_, n) =>
      `-- name: write_${n}\n-- transaction\ninsert into applied values ('write_${n}') returning name, pg_sleep(${slowest / (n + 2)})::text as s;`
  ),
  ...Array.from(
    { length: scripts },
    (_, n) =>
      `-- name: script_${n}\ninsert into applied values ('script_${n}'); select pg_sleep(${slowest / (n + 2)})::text as s;`
  )
].join("\n")

interface KillsResult {
  readonly rounds: number
  readonly kills: number
  /** Runs that came to their end: the last of each round. */
  readonly ended: { readonly whole: number; readonly withRefused: number }
  readonly refused: number
  readonly kept: number
  readonly wrong: ReadonlyArray<string>
}

interface Stage {
  readonly url: string
  readonly server: Pick<Server, "rows">
}

interface RunDocument {
  readonly queries: ReadonlyArray<{
    readonly name: string
    readonly outcome: string
    readonly kept?: boolean
    readonly error?: { readonly message: string }
  }>
}

/** Runs the queries; kills the process so long after it has the folder's lock, if it runs until then. */
const runOnce = async (stage: Stage, folder: string, out: string, killAfter: number | undefined) => {
  const args = ["run", join(folder, "queries.sql"), "--out", out, "--resume", "--json", "--concurrency", "4"]
  const url = new URL(stage.url)
  url.searchParams.set("application_name", application)
  const child = spawn(process.execPath, ["--conditions=@querypool/source", bin, ...args], {
    env: {
      PATH: process.env["PATH"],
      HOME: tmpdir(),
      DATABASE_URL: url.href,
      XDG_CACHE_HOME: join(folder, "cache"),
      NODE_COMPILE_CACHE: join(tmpdir(), "compiled")
    }
  })
  const said: Record<"stdout" | "stderr", string> = { stdout: "", stderr: "" }
  child.stdout.on("data", (chunk: Buffer) => void (said.stdout += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => void (said.stderr += chunk.toString()))
  const closed = new Promise<number | null>((done) => child.once("close", done))
  if (killAfter !== undefined) {
    const own = join(out, ".querypool")
    const hasLock = () => existsSync(own) && readdirSync(own).some((name) => name.startsWith(`lock.${child.pid}-`))
    while (child.exitCode === null && !hasLock()) await sleep(1)
    await sleep(killAfter)
    child.kill("SIGKILL")
  }
  const code = await closed
  return { ...said, code }
}

const filesOf = (out: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(out, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.endsWith(".querypool"))
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(out.length + 1), readFileSync(path, "utf8")])
  )

const journalOf = (out: string): string => {
  const path = join(out, ".querypool", "journal.ndjson")
  return existsSync(path) ? readFileSync(path, "utf8") : ""
}

/** Names of what has succeeded, as often as the journal says so. */
const succeededIn = (out: string): ReadonlyArray<string> =>
  [...journalOf(out).matchAll(/"name":"([^"]+)","outcome":"Succeeded"/g)].map(([, name = ""]) => name)

const documentOf = (text: string): RunDocument => JSON.parse(text)

/** Rounds until so many runs were killed. */
export const run = Effect.fnUntraced(function* (
  stage: Stage,
  { kills, seed }: { readonly kills: number; readonly seed: number }
) {
  const { server } = stage
  const dice = new Dice(seed)
  const folder = mkdtempSync(join(tmpdir(), "querypool-kills-"))
  const wrong: Array<string> = []
  const counts = { rounds: 0, kills: 0, whole: 0, withRefused: 0, refused: 0, kept: 0 }
  writeFileSync(join(folder, "queries.sql"), queries)

  /** A server goes on with a statement whose client is gone. */
  const settled = Effect.gen(function* () {
    const busy = `select 1 from pg_stat_activity where application_name = '${application}'`
    while ((yield* server.rows(busy)).length > 0) yield* Effect.promise(() => sleep(10))
  })
  const applied = Effect.map(
    Effect.andThen(settled, server.rows("select name, count(*)::int as count from applied group by name")),
    (rows) => new Map(rows.map(({ count, name }) => [String(name), Number(count)]))
  )
  const once = (out: string, killAfter?: number) => Effect.promise(() => runOnce(stage, folder, out, killAfter))

  const round = Effect.fnUntraced(function* (expected: ReadonlyMap<string, string>, out: string) {
    yield* server.rows("truncate applied")
    counts.rounds++
    for (;;) {
      const kill = counts.kills < kills
      const ended = yield* once(out, kill ? dice.between(0, 700) : undefined)
      if (ended.code === null) {
        counts.kills++
        // It had come to its end, and only its process had not: another run would start anew.
        if (!journalOf(out).includes('"over"')) continue
      }
      yield* check(expected, out, ended)
      return
    }
  })

  const check = Effect.fnUntraced(function* (
    expected: ReadonlyMap<string, string>,
    out: string,
    { code, stderr, stdout }: { readonly code: number | null; readonly stderr: string; readonly stdout: string }
  ) {
    const fault = (message: string): void => void wrong.push(`round ${counts.rounds}: ${message}`)
    const isKilled = code === null
    if (!isKilled && code !== 0 && code !== 1) return fault(`the last run ended with ${code}: ${stderr}`)
    const times = yield* applied
    const files = filesOf(out)
    const done = succeededIn(out)
    if (!isKilled && stdout === "") return fault(`nothing was said, exit code ${code}: ${stderr}${journalOf(out)}`)
    const all: RunDocument["queries"] = isKilled
      ? done.map((name) => ({ name, outcome: "succeeded" }))
      : documentOf(stdout).queries
    const refused = all.filter(({ outcome }) => outcome !== "succeeded")
    counts[refused.length === 0 ? "whole" : "withRefused"]++
    counts.refused += refused.length
    counts.kept += all.filter(({ kept }) => kept === true).length
    for (const { error, name, outcome } of refused) {
      if (name.startsWith("read/") || error?.message.includes("not known whether") !== true) {
        fault(`${name} ${outcome}: ${error?.message}`)
      }
    }
    for (const [name, count] of times) if (count > 1) fault(`${name} was applied ${count} times`)
    for (const { name, outcome } of all) {
      const path = `${name}.csv`
      if (outcome === "succeeded" && files.get(path) !== expected.get(path)) fault(`${path} is another file`)
      if (outcome === "succeeded" && !name.startsWith("read/") && times.get(name) !== 1) fault(`${name} is not applied`)
    }
    for (const path of files.keys()) if (!expected.has(path)) fault(`${path} was left`)
    if (new Set(done).size !== done.length) fault("something that had ended was run again")
    if (journalOf(out).includes('"over"') !== (refused.length === 0)) fault("the journal does not know the end")
    return undefined
  })

  return yield* Effect.gen(function* () {
    yield* server.rows("create table if not exists applied (name text)")
    yield* server.rows("truncate applied")
    const undisturbed = join(folder, "undisturbed")
    const first = yield* once(undisturbed)
    if (first.code !== 0) wrong.push(`undisturbed: ${first.stderr}${first.stdout}`)
    const expected = filesOf(undisturbed)
    while (counts.kills < kills && wrong.length === 0) yield* round(expected, join(folder, String(counts.rounds)))
    const { kept, kills: killed, refused, rounds, whole, withRefused } = counts
    return { rounds, kills: killed, ended: { whole, withRefused }, refused, kept, wrong } satisfies KillsResult
  }).pipe(Effect.ensuring(Effect.sync(() => rmSync(folder, { recursive: true, force: true }))))
})
