import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as Origin from "../../../src/query/Origin.ts"
import * as Query from "../../../src/query/Query.ts"
import { QueryError } from "../../../src/query/QueryError.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"

/** This line, and the file, as an origin tells them; the column may be any. */
const here = (linesAbove: number): RegExp => {
  const line = /Origin\.test\.ts:(\d+):\d+/.exec(new Error().stack?.split("\n")[2] ?? "")?.[1]
  return new RegExp(`^test/unit/query/Origin\\.test\\.ts:${Number(line) - linesAbove}:\\d+$`)
}

const find = (name: string) => ({
  name,
  schema: Schema.Struct({ n: Schema.Finite }),
  statement: () => ({ sql: "select 1 as n", parameters: [] })
})

describe("the origin of a query", () => {
  it("is the line that made it, whichever way it was made", () => {
    const make = Query.make("origin of make", () => Effect.void)
    assert.match(make.origin ?? "", here(1))
    const findAll = Query.findAll(find("origin of findAll"))
    assert.match(findAll.origin ?? "", here(1))
    const findOne = Query.findOne(find("origin of findOne"))
    assert.match(findOne.origin ?? "", here(1))
    const findOneOption = Query.findOneOption(find("origin of findOneOption"))
    assert.match(findOneOption.origin ?? "", here(1))
  })

  it("is that of the first query of a name", () => {
    const first = Query.make("origin of two", () => Effect.void)
    assert.match(first.origin ?? "", here(1))
    const second = Query.make("origin of two", () => Effect.void)
    assert.strictEqual(second.origin, first.origin)
  })

  it("is found in a callback of the language's own", () => {
    const [query] = ["origin in map"].map((name) => Query.make(name, () => Effect.void))
    assert.match(query?.origin ?? "", here(1))
  })

  it("is that of the whole for its parts, of which any number leave room for others", () => {
    const whole = Query.make("origin of parts", () => Effect.void)
    const names = ["plan", ...Array.from({ length: 2_000 }, (_, index) => `${index + 1}/2000`)]
    for (const part of names) {
      const query = Query.make(`origin of parts [${part}]`, () => Effect.void)
      assert.strictEqual(query.origin, whole.origin)
    }
    const later = Query.make("origin after parts", () => Effect.void)
    assert.match(later.origin ?? "", here(1))
    const other = Query.make("origin of an array[1]", () => Effect.void)
    assert.match(other.origin ?? "", here(1))
  })

  it.effect("stands in what it fails with, also where its rows are streamed", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make(() => [{ n: "no number" }])
      const one = Query.findOne(find("origin of a failure"))
      const line = here(1)
      assert.match((yield* Effect.flip(one).pipe(provide)).origin ?? "", line)
      const rows = Query.stream(find("origin of a stream"))
      const streamLine = here(1)
      const error = yield* Effect.flip(Stream.runDrain(rows)).pipe(provide)
      assert.instanceOf(error, QueryError)
      assert.match(error.origin ?? "", streamLine)
    })
  )
})

describe("a stack", () => {
  const own = "file:///app/node_modules/querypool/dist/query/Origin.js"
  const ownFrames = [
    "Error",
    "    at note (file:///app/node_modules/querypool/dist/query/Origin.js:20:5)",
    "    at Module.make (file:///app/node_modules/querypool/dist/query/Query.js:100:3)"
  ]
  const callerOf = (...frames: ReadonlyArray<string>) =>
    Origin.callerIn([...ownFrames, ...frames.map((frame) => `    at ${frame}`)].join("\n"), own, "/app")

  it.each([
    ["users (file:///app/src/users.js:3:9)", "src/users.js:3:9"],
    ["file:///app/src/users.js:3:9", "src/users.js:3:9"],
    ["async file:///app/src/users.js:3:9", "src/users.js:3:9"],
    ["new Users (/app/src/users.cjs:3:9)", "src/users.cjs:3:9"],
    ["Object.<anonymous> (/app/src/users.cjs:3:9)", "src/users.cjs:3:9"],
    ["Object.all [as users] (/app/src/users.cjs:3:9)", "src/users.cjs:3:9"],
    ["users (file:///other/users.js:3:9)", "/other/users.js:3:9"],
    ["users (/home/my projects (old)/users.cjs:3:9)", "/home/my projects (old)/users.cjs:3:9"],
    ["/home/my projects (old)/users.cjs:3:9", "/home/my projects (old)/users.cjs:3:9"],
    ["users (file:///home/my%20projects/users.js:3:9)", "/home/my projects/users.js:3:9"],
    ["users (file:///home/100%/users.js:3:9)", "/home/100%/users.js:3:9"]
  ])("names the caller in %s", (frame, place) => {
    assert.strictEqual(callerOf(frame, "other (/app/src/other.js:1:1)"), place)
  })

  it("has frames without a place, which are passed over", () => {
    const frames = [
      "Array.map (<anonymous>)",
      "eval (eval at f (/app/a.js:1:1), <anonymous>:1:1)",
      "node:internal/a:1:1"
    ]
    assert.strictEqual(callerOf(...frames, "users (/app/src/users.js:3:9)"), "src/users.js:3:9")
  })

  it("names nobody when there are only the library's own frames, or none", () => {
    assert.isUndefined(callerOf())
    assert.isUndefined(Origin.callerIn(undefined, own, "/app"))
    assert.isUndefined(Origin.callerIn("", own, undefined))
  })

  it("knows its own folder also where its name has spaces and the frames have paths", () => {
    const stack = ["    at note (/my app/query/Origin.ts:2:1)", "    at users (/my app/users.ts:3:9)"].join("\n")
    assert.strictEqual(Origin.callerIn(stack, "file:///my%20app/query/Origin.ts", undefined), "/my app/users.ts:3:9")
  })
})

describe("the names that have an origin", () => {
  it("are no more than a thousand", () => {
    const queries = Array.from({ length: 2_000 }, (_, id) => Query.make(`made up ${id}`, () => Effect.void))
    const known = queries.filter(({ origin }) => origin !== undefined)
    assert.isAtMost(known.length, 1_000)
    assert.isAtLeast(known.length, 900)
    assert.isUndefined(queries.at(-1)?.origin)
    assert.isUndefined(Origin.of("made up 1999"))
  })
})
