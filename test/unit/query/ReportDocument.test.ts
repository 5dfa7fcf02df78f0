import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { readFileSync } from "node:fs"
import { ReportDocument } from "querypool"
import * as Samples from "../../support/ReportSamples.ts"

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(ReportDocument.Document))

const everything = Samples.documentOf(Samples.mixed(60, { snapshot: true }), Samples.mixed(60, { cancelAt: 300 }), {
  ...Samples.six(),
  name: "berlin",
  unreachable: "no route to host",
  processors: 2
})

/** Names of all fields there are in a value, at any depth, but for keys that users choose. */
const fieldsOf = (value: unknown): ReadonlyArray<string> => {
  if (Array.isArray(value)) return value.flatMap(fieldsOf)
  if (typeof value !== "object" || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => [name, ...(name === "tags" ? [] : fieldsOf(inner))])
}

describe("the document of a report", () => {
  it("is read as it was written", () => {
    assert.deepStrictEqual(Result.getOrThrow(decode(JSON.stringify(everything))), everything)
  })

  it("is read by a version that knows fewer of its fields", () => {
    const later = { ...everything, mood: "calm", runs: everything.runs.map((run) => ({ ...run, mood: "calm" })) }
    assert.deepStrictEqual(Result.getOrThrow(decode(JSON.stringify(later))), everything)
  })

  it.each([
    ["of another format", { ...everything, format: "querypool durations" }],
    ["of another version", { ...everything, version: 2 }],
    ["without its runs", { ...everything, runs: undefined }],
    [
      "with a time that is none",
      { ...everything, runs: everything.runs.map((run) => ({ ...run, makespanMillis: "1" })) }
    ]
  ])("is refused where it is %s", (_, document) => {
    assert.isTrue(Result.isFailure(decode(JSON.stringify(document))))
  })

  it("has no field that its documentation does not name", () => {
    const documentation = readFileSync(new URL("../../../docs/report.md", import.meta.url), "utf8")
    const named = new Set(Array.from(documentation.matchAll(/`(\w+)`/g), ([, name]) => name))
    const fields = new Set(fieldsOf(everything))
    assert.isAbove(fields.size, 50)
    assert.deepStrictEqual(
      [...fields].filter((name) => !named.has(name)),
      []
    )
  })
})
