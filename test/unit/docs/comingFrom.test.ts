import { globSync, readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"

const root = new URL("../../../", import.meta.url)
const page = readFileSync(new URL("docs/coming-from.md", root), "utf8")
const programs = globSync("examples/coming-from/*.{ts,py}", { cwd: root }).toSorted()
const textOf = (path: string) => readFileSync(new URL(path, root), "utf8").trim()

describe("the page for who comes from Celery or gevent", () => {
  it("shows every program of its folder as it is run, and nothing else", () => {
    const blocks = [...page.matchAll(/^```(?:ts|python)\n([^]*?)\n```$/gm)].map(([, text]) => text)
    assert.sameMembers(blocks, programs.map(textOf))
  })

  it("has both sides of each idea, which print the same", () => {
    const names = globSync("examples/coming-from/*.out", { cwd: root }).map((path) => path.replace(/\.out$/, ""))
    assert.lengthOf(names, 12)
    for (const name of names) assert.includeMembers(programs, [`${name}.py`, `${name}.ts`])
  })
})
