import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8")

describe("README", () => {
  it("shows the first example, which is run with its output asserted", () => {
    assert.include(read("README.md"), read("examples/01-many-queries.ts").trim())
  })

  it("names the commands that package.json has", () => {
    const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Readonly<Record<string, string>> }
    const named = [...read("README.md").matchAll(/npm run (?:-s )?([a-z:]+)/g)].map(([, name]) => name)
    assert.isNotEmpty(named)
    for (const name of named) assert.property(scripts, name ?? "")
  })
})
