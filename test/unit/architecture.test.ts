import { globSync, readFileSync } from "node:fs"
import { posix } from "node:path"
import { assert, describe, it } from "vitest"

/** What each folder may import beside its own files. A name that ends in `/` or `:` stands for all that begin with it. */
const layers: Readonly<Record<string, ReadonlyArray<string>>> = {
  internal: ["effect", "type effect/PlatformError"],
  query: ["src/internal/", "effect", "type effect/sql", "type effect/sql/"],
  pool: [
    "src/query/",
    "src/internal/",
    "effect",
    "effect/persistence/",
    "effect/reactivity/",
    "effect/sql/",
    "@effect/sql-pg",
    "pg-connection-string",
    "node:"
  ],
  sink: [
    "src/query/",
    "src/internal/",
    "effect",
    "type effect/sql",
    "type effect/sql/",
    "hyparquet-writer",
    "node:zlib"
  ],
  // Threads of any platform, by effect's contract of them: who runs the program says which.
  task: [
    "src/query/",
    "src/internal/",
    "effect",
    "effect/persistence/",
    "effect/sql",
    "effect/sql/",
    "effect/workers/"
  ],
  testing: [
    "src/query/",
    "src/task/",
    "src/internal/",
    // What an answer of the server means, and what it leaves of a query's work: pure, and far from the driver.
    "src/pool/PgErrors.ts",
    "src/pool/PgLedger.ts",
    "src/pool/PgRefusal.ts",
    "src/pool/PgResidue.ts",
    "src/pool/SqlState.ts",
    "effect",
    "effect/reactivity/",
    "effect/sql/",
    "effect/testing/"
  ],
  embedded: ["src/query/", "src/internal/", "effect", "node:"],
  cli: ["everything"],
  "index.ts": ["src/query/", "src/pool/", "src/sink/"]
}

/** What a file may import beside what its folder may. */
const files: Readonly<Record<string, ReadonlyArray<string>>> = {
  // Who blocks the event loop is seen from another thread, by the inspector: Node alone has that.
  "src/task/BackgroundMonitor.ts": ["node:worker_threads"],
  "src/task/BackgroundWatchdog.ts": ["node:worker_threads", "node:inspector"]
}

/** Of these the whole loads what nothing here uses: clients of HTTP and RPC, 80 modules of 530. */
const wholes: ReadonlyArray<string> = ["effect/reactivity", "effect/sql"]

const root = new URL("../../", import.meta.url)

const importsOf = (text: string) =>
  [
    // `import { type A }` still loads the module under verbatimModuleSyntax: only `import type` is one of types.
    ...text.matchAll(/^(?:import|export) (?<type>type )?(?:[\w\s,*{}]+from )?"(?<from>[^"]+)"/gm),
    ...text.matchAll(/\bimport\(\s*["'`](?<from>[^"'`]+)/g)
  ].map(({ groups }) => ({ from: groups?.["from"] ?? "", type: groups?.["type"] ?? "" }))

/** What is wrong with the imports and the length of `text` as the file `path`, such as `src/query/Run.ts`. */
const faultsOf = (path: string, text: string): ReadonlyArray<string> => {
  const folder = path.split("/")[1] ?? ""
  const allowed = layers[folder]
  if (allowed === undefined) return [`${path}: the folder ${folder} is not in the table of layers`]
  const lines = text.trimEnd().split("\n").length
  const faults = lines > 500 ? [`${path} has ${lines} lines: a file has at most 500`] : []
  for (const { from, type } of importsOf(text)) {
    const offender = `${path} imports ${type}"${from}"`
    const target = from.startsWith(".") ? posix.join(posix.dirname(path), from) : from
    const may = (rule: string) =>
      [target, type + target].some((name) => (/[/:]$/.test(rule) ? name.startsWith(rule) : name === rule))
    if (from.startsWith(".") && !from.endsWith(".ts")) faults.push(`${offender}: a relative import ends in .ts`)
    if (from.startsWith(".") && !target.startsWith("src/"))
      faults.push(`${offender}: src imports nothing outside of it`)
    if (target === "src/index.ts" || /^querypool(\/|$)/.test(target)) {
      faults.push(`${offender}: nothing inside imports the package's entry`)
    } else if (!allowed.includes("everything") && ![`src/${folder}/`, ...allowed, ...(files[path] ?? [])].some(may)) {
      faults.push(`${offender}: ${folder} may import ${allowed.join(", ")}`)
    } else if (type === "" && wholes.includes(target)) {
      faults.push(`${offender}: import the one module of it that is meant`)
    }
  }
  return faults
}

describe("the architecture", () => {
  it("is kept by every file of src", () => {
    const paths = globSync("src/**/*.ts", { cwd: root }).map((path) => path.replaceAll("\\", "/"))
    assert.includeMembers(paths, ["src/index.ts", "src/query/Run.ts"])
    assert.deepStrictEqual(
      paths.flatMap((path) => faultsOf(path, readFileSync(new URL(path, root), "utf8"))),
      []
    )
  })

  it.each([
    ["src/query/Run.ts", `import { make } from "../pool/PgSession.ts"`, "query may import"],
    ["src/query/Run.ts", `import type { Config } from "../pool/PgQueryPool.ts"`, "query may import"],
    ["src/query/Run.ts", `import {\n  Effect\n} from "effect"\nexport * from "../cli/Table.ts"`, "query may import"],
    ["src/query/Run.ts", `import { SqlError } from "effect/sql/SqlError"`, "query may import"],
    ["src/query/Run.ts", `import { type SqlError } from "effect/sql/SqlError"`, "query may import"],
    ["src/query/Run.ts", `const sql = () => import("effect/sql")`, "query may import"],
    ["src/pool/PgWire.ts", `import pg from "pg"`, "pool may import"],
    ["src/pool/PgQueryPool.ts", `import { Reactivity } from "effect/reactivity"`, "pool may import"],
    ["src/cli/main.ts", `import { Reactivity } from "effect/reactivity"`, "import the one module of it"],
    ["src/task/Task.ts", `import * as PgQueryPool from "../pool/PgQueryPool.ts"`, "task may import"],
    ["src/task/Task.ts", `import { Worker } from "node:worker_threads"`, "task may import"],
    ["src/internal/Slots.ts", `import "../query/Run.ts"`, "internal may import"],
    ["src/internal/Slots.ts", `import { SqlError } from "effect/sql"`, "internal may import"],
    ["src/embedded/ServerGuard.ts", `import { connect } from "../pool/PgWire.ts"`, "embedded may import"],
    ["src/index.ts", `export * from "./cli/Table.ts"`, "index.ts may import"],
    ["src/cli/main.ts", `import { Query } from "../index.ts"`, "nothing inside imports the package's entry"],
    ["src/cli/main.ts", `import type { Query } from "querypool"`, "nothing inside imports the package's entry"],
    ["src/cli/main.ts", `import { below } from "../../test/support/Chaos.ts"`, "src imports nothing outside of it"],
    ["src/cli/main.ts", `import { draw } from "./Table"`, "a relative import ends in .ts"],
    ["src/utils/strings.ts", "", "the folder utils is not in the table of layers"],
    ["src/query/Run.ts", "\n".repeat(500) + "last", "has 501 lines: a file has at most 500"]
  ])("finds what is wrong in %s: %s", (path, text, rule) => {
    const faults = faultsOf(path, text)
    assert.lengthOf(faults, 1)
    assert.include(faults[0], path)
    assert.include(faults[0], rule)
  })

  it("keeps the driver and every test framework away from what is for users' tests", () => {
    const reached = new Set(["src/testing/index.ts"])
    const outside = new Set<string>()
    for (const path of reached) {
      for (const { from, type } of importsOf(readFileSync(new URL(path, root), "utf8"))) {
        if (type !== "") continue
        if (from.startsWith(".")) reached.add(posix.join(posix.dirname(path), from))
        else outside.add(from)
      }
    }
    assert.includeMembers([...reached], ["src/pool/PgErrors.ts", "src/task/TaskStoreMemory.ts"])
    const foreign = [...outside].filter((name) => name !== "effect" && !name.startsWith("effect/"))
    assert.deepStrictEqual(foreign, [])
  })

  it("lets the query folder name the types of effect/sql", () => {
    assert.deepStrictEqual(faultsOf("src/query/Run.ts", `import type { SqlError } from "effect/sql/SqlError"`), [])
  })
})
