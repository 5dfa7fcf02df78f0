import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Layer, Stdio, Stream, Terminal } from "effect"
import { TerminalCapabilities } from "effect/cli"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { readFileSync } from "node:fs"
import { afterEach, beforeEach, vi } from "vitest"
import { codeOf, program } from "../../../src/cli/Program.ts"

const unused = Effect.die(new Error("nobody asks a terminal, and nothing is started"))

const outside = Layer.mergeAll(
  Layer.succeed(TerminalCapabilities.TerminalCapabilities, { canColor: false, canAnimate: false, canPrompt: false }),
  NodeFileSystem.layer,
  NodePath.layer,
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.succeed(80),
      rows: Effect.succeed(24),
      size: unused,
      readInput: unused,
      readLine: unused,
      display: () => unused
    })
  ),
  Layer.succeed(
    ChildProcessSpawner.ChildProcessSpawner,
    ChildProcessSpawner.make(() => unused)
  )
)

/** What the command says in this process, which has a database only if the arguments name one. */
const querypool = Effect.fnUntraced(function* (args: ReadonlyArray<string>, stdin = "") {
  let stdout = ""
  let stderr = ""
  const console: Console.Console = {
    ...globalThis.console,
    log: (text: string) => void (stdout += `${text}\n`),
    error: (text: string) => void (stderr += `${text}\n`)
  }
  const stdio = Stdio.layerTest({
    args: Effect.succeed(args),
    stdin: Stream.succeed(new TextEncoder().encode(stdin)),
    stdinIsTerminal: Effect.succeed(false)
  })
  const exit = yield* program.pipe(
    Effect.provide(Layer.merge(stdio, outside)),
    Effect.provideService(Console.Console, console),
    Effect.exit
  )
  return { stdout, stderr, code: codeOf(exit) }
})

type Case = readonly [args: ReadonlyArray<string>, expected: string | RegExp, stdin?: string]

/** Nothing but what is wrong, in a line, and nothing that only a programmer reads. */
const isRefused = ([args, expected, stdin]: Case) =>
  Effect.gen(function* () {
    const { code, stderr, stdout } = yield* querypool(args, stdin)
    if (typeof expected === "string") assert.strictEqual(stderr, `querypool: ${expected}\n`)
    else assert.match(stderr, expected)
    assert.notMatch(stderr, /^ {4}at /m)
    assert.deepStrictEqual({ stdout, code }, { stdout: "", code: 2 })
  })

describe("a command line that cannot be followed", () => {
  beforeEach(() => {
    for (const name of ["DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"]) {
      vi.stubEnv(name, undefined)
    }
  })
  afterEach(() => void vi.unstubAllEnvs())

  it.live.each<Case>([
    [["run"], "No queries given. Name .sql files or folders, or - for standard input"],
    [["run", "missing.sql"], "missing.sql: there is no such file or folder"],
    [["run", "-"], "<stdin>:1:1: no statement in this file: write one, or remove the file"],
    [
      ["run", "-", "--json"],
      "<stdin>:2:1: psql command: \\d is not SQL, remove it, or run this file with psql",
      "select 1;\n\\d t"
    ],
    [["run", "-"], /^querypool: No database given\. .*(\n {2}.+){4}\n$/, "select 1"],
    [["run", "-", "--url", "db.test"], /^querypool: --url: The connection URL is not a URL\..*\n$/, "select 1"],
    [
      ["run", "-", "--embedded", "--url", "postgres://h/d"],
      "--embedded and --url name different databases. Give one of them"
    ],
    [["run", "-", "--on-error", "maybe"], 'Invalid value for flag --on-error: "maybe". Expected: "continue" | "stop"'],
    [["run", "-", "--max-rows", "-1"], 'Invalid value for flag --max-rows: "-1". Expected: an integer from 0'],
    ...["0", "-1", "1.5", "1e3", "many"].map(
      (text) =>
        [
          ["run", "-", "--concurrency", text],
          `Invalid value for flag --concurrency: "${text}". Expected: an integer from 1`
        ] as const
    ),
    ...["0s", "3", "soon"].flatMap((text) =>
      ["--timeout", "--queue-timeout", "--deadline"].map(
        (flag) =>
          [
            ["run", "-", flag, text],
            `Invalid value for flag ${flag}: "${text}". Expected: a duration such as 300ms, 30s, 5m or 2h`
          ] as const
      )
    ),
    [
      ["run", "-", "--retries", "few"],
      'Invalid value for flag --retries: "few". Expected: an integer from 0 to 999999'
    ],
    [
      ["run", "-", "--embedded"],
      "<stdin>:2:1: Unknown header `timeuot`. Did you mean `timeout`?",
      "-- name: a\n-- timeuot: 300ms\nselect 1"
    ],
    [
      ["run", "-", "--embedded", "--read-only"],
      '<stdin>:1: the header `transaction` of query "a" contradicts --read-only. Remove one of them',
      "-- name: a\n-- transaction\nselect 1"
    ],
    [
      ["run", "-", "--embedded"],
      '<stdin>:2: query "a" needs "lod", which is no query of this run. Did you mean "load"?',
      "-- name: a\n-- needs: lod\nselect 1;\n-- name: load\nselect 1"
    ],
    [
      ["run", "-", "--embedded"],
      "Queries need each other in a circle, so none of them can start. Remove one of these needs:\n" +
        "  <stdin>:2: a needs b\n  <stdin>:6: b needs a",
      "-- name: a\n-- needs: b\nselect 1;\n-- name: b\n-- Prose.\n-- needs: a\nselect 1"
    ],
    [
      ["run", "-", "--embedded", "--select", "b*"],
      '--select "b*": no query has such a name. There are: a, c/d',
      "-- name: a\nselect 1;\n-- name: c/d\nselect 1"
    ],
    [
      ["run", "-", "--embedded", "--select", "tag:x=2"],
      '--select "tag:x=2": no query has such a tag. There are: tag:x=1',
      "-- tag: x=1\n-- name: a\nselect 1;\n-- name: b\nselect 1"
    ],
    [
      ["run", "-", "--order", "shortest"],
      'Invalid value for flag --order: "shortest". Expected: "given" | "longest-first"'
    ],
    [["run", "-", "--colour"], /^querypool: Unrecognized flag: --colour in command querypool run\n/],
    [["rnu"], /^querypool: Unknown subcommand "rnu" for "querypool"\n\n {2}Did you mean this\?\n {4}run\n$/],
    [["\u001b[31m"], /^querypool: Unknown subcommand "\\u001b\[31m"/]
  ])("is answered by one line that says why, and exit code 2: %j", isRefused)

  it.live.each<Case>([
    [
      ["run", "-", "--targets", "t.txt", "--url", "postgres://h/d"],
      "--targets and --url name different databases. Give one of them"
    ],
    [["run", "-", "--total", "5"], "--total is for the databases of --targets. For one database say --concurrency"],
    [["run", "-", "--targets", "missing.txt"], "missing.txt: there is no such file or folder", "select 1"],
    [
      ["run", "-", "--embedded", "--snapshot"],
      '<stdin>:2: query "stdin" ends a transaction, and with --snapshot it is one as a whole. ' +
        "Leave out BEGIN, COMMIT and ROLLBACK",
      "begin; select 1;\ncommit"
    ],
    [
      ["run", "-", "--embedded", "--allow-standby"],
      "--allow-standby is for the snapshot of --snapshot. Give both",
      "select 1"
    ]
  ])("is answered so where flags contradict each other or the files: %j", isRefused)

  it.live.each<Case>([
    [["plan"], "No queries given. Name .sql files or folders, or - for standard input"],
    [
      ["plan", "-"],
      "Queries need each other in a circle, so none of them can start. Remove one of these needs:\n" +
        "  <stdin>:2: a needs b\n  <stdin>:5: b needs a",
      "-- name: a\n-- needs: b\nselect 1;\n-- name: b\n-- needs: a\nselect 1"
    ],
    [
      ["plan", "-", "--select", "x"],
      '--select "x": no query has such a name. There are: a, b',
      "-- name: a\nselect 1;\n-- name: b\nselect 1"
    ],
    [
      ["plan", "-", "--json", "--mermaid"],
      "--json and --mermaid print two different things. Give one of them",
      "select 1"
    ],
    [["demo", "--scale", "20000"], 'Invalid value for flag --scale: "20000". Expected: an integer from 1 to 19999'],
    [
      ["demo", "--workers", "5,0"],
      /^querypool: Invalid value for flag --workers: "5,0"\. Expected: integers from 1 to 999/
    ]
  ])("is answered so by the other commands: %j", isRefused)
})

describe("help", () => {
  it.live("is given where it is asked for, in lines that fit a terminal", () =>
    Effect.gen(function* () {
      const [run, plan, demo] = yield* Effect.forEach(["run", "plan", "demo"], (name) => querypool([name, "--help"]))
      const bare = yield* querypool([])
      for (const word of [
        "--url",
        "--embedded",
        "--targets file",
        "--total",
        "--concurrency, -c",
        "(default 5)",
        "--on-error",
        "--select",
        "--order choice               Which of those that can start is first\n",
        `\n${" ".repeat(31)}(default given) (choices: given, longest-first)\n`,
        "-- needs: a, b",
        "--read-only",
        "--snapshot",
        "--allow-standby",
        "--timeout duration",
        "--queue-timeout",
        "--deadline",
        "--retries",
        "-- timeout: 30s",
        "-- idempotent",
        "--max-rows",
        "--json"
      ])
        assert.include(run?.stdout, word)
      assert.match(bare.stdout, /run .*\n.*plan .*\n.*demo /)
      for (const one of [run, plan, demo, bare]) {
        assert.deepInclude(one, { code: 0, stderr: "" })
        assert.deepStrictEqual(
          one?.stdout.split("\n").filter((line) => line.length > 80),
          []
        )
      }
    })
  )

  it.live("names the version", () =>
    Effect.gen(function* () {
      const manifest: { readonly version: string } = JSON.parse(
        readFileSync(new URL("../../../package.json", import.meta.url), "utf8")
      )
      const { code, stdout } = yield* querypool(["--version"])
      assert.include(stdout, manifest.version)
      assert.strictEqual(code, 0)
    })
  )
})
