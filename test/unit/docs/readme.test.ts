import { Duration, Result } from "effect"
import { globSync, readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { parseSqlFile } from "../../../src/cli/SqlFile.ts"

const root = new URL("../../../", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")
const readme = read("README.md")

const blocks = (language: string): ReadonlyArray<string> =>
  [...readme.matchAll(/^```(\w+)\n([^]*?)\n```$/gm)].flatMap(([, of, text = ""]) => (of === language ? [text] : []))

const examples = readdirSync(new URL("examples", root))
  .filter((name) => /^\d\d-.*\.ts$/.test(name))
  .map((name) => read(`examples/${name}`))

describe("docs/tasks.md", () => {
  it("shows nothing that is not a part of an example, which is run with its output asserted", () => {
    const shown = [...read("docs/tasks.md").matchAll(/^```ts\n([^]*?)\n```$/gm)].map(([, text = ""]) => text)
    assert.isAtLeast(shown.length, 5)
    for (const block of shown)
      assert.isTrue(
        examples.some((text) => text.includes(block)),
        block
      )
  })
})

describe("README", () => {
  it("shows the first example, which is run with its output asserted", () => {
    assert.include(readme, read("examples/01-many-queries.ts").trim())
  })

  it("shows no program that is not a part of such an example", () => {
    assert.isAtLeast(blocks("ts").length, 2)
    for (const block of blocks("ts"))
      assert.isTrue(
        examples.some((text) => text.includes(block)),
        block
      )
  })

  it("shows header lines that mean what they say", () => {
    const text = blocks("sql").find((block) => block.includes("monthly_totals")) ?? ""
    const { queries } = Result.getOrThrow(parseSqlFile({ file: "README.md", defaultName: "README", text }))
    assert.deepStrictEqual(
      queries.map(({ name, settings }) => ({ name, ...settings })),
      [
        { name: "monthly_totals", timeout: Duration.millis(300), retry: 3, mode: "readOnly" },
        { name: "close_month", mode: "transaction", idempotent: true }
      ]
    )
  })

  it("names the flags that the command has", () => {
    const command = globSync("src/cli/*{Command,Flags}.ts", { cwd: root }).map(read).join("\n")
    const named = [...readme.matchAll(/`[^`\n]*?--([a-z][a-z-]+)/g)].map(([, name]) => name)
    assert.includeMembers(named, ["timeout", "queue-timeout", "deadline", "retries", "read-only"])
    for (const name of named) assert.include(command, `("${name}"`)
  })

  it("names the commands that package.json has", () => {
    const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Readonly<Record<string, string>> }
    const named = [...readme.matchAll(/npm run (?:-s )?([a-z:]+)/g)].map(([, name]) => name)
    assert.isNotEmpty(named)
    for (const name of named) assert.property(scripts, name ?? "")
  })
})
