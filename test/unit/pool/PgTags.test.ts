import { assert, describe, it } from "@effect/vitest"
import { Tags } from "../../../src/pool/PgTags.ts"

const traceparent = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"

describe("the tags of statements", () => {
  it("are the query's name, and one text each time for a query and its statement", () => {
    const tags = new Tags(false)
    const first = tags.on("select 1", { name: "one" }, traceparent)
    assert.deepStrictEqual(first, { sql: "select 1 /*action='one'*/", prepare: true })
    assert.strictEqual(tags.on("select 1", { name: "one" }, undefined), first)
    assert.strictEqual(tags.on("select 1", { name: "other" }, undefined).sql, "select 1 /*action='other'*/")
    assert.strictEqual(tags.on("select 2", { name: "one" }, undefined).sql, "select 2 /*action='one'*/")
  })

  it("are the trace too where that is told, in a text that is not prepared", () => {
    const tags = new Tags(true)
    const text = `select 1 /*action='one',traceparent='${traceparent}'*/`
    assert.deepStrictEqual(tags.on("select 1", { name: "one" }, traceparent), { sql: text, prepare: false })
    const plain = { sql: "select 1 /*action='one'*/", prepare: true }
    assert.deepStrictEqual(tags.on("select 1", { name: "one" }, undefined), plain)
  })

  it("leave a statement that has a comment as it is", () => {
    const tags = new Tags(true)
    for (const trace of [traceparent, undefined]) {
      assert.deepStrictEqual(tags.on("select 1 -- mine", { name: "one" }, trace), {
        sql: "select 1 -- mine",
        prepare: true
      })
    }
  })

  it("are right for ever more texts and names, of which a thousand are kept", () => {
    const tags = new Tags(false)
    const first = tags.on("select 1", { name: "first" }, undefined)
    for (let n = 0; n < 3_000; n++) {
      const [byName, byText] = [
        tags.on(`select ${n % 7}`, { name: `${n}` }, undefined),
        tags.on(`select ${n}`, { name: "one" }, undefined)
      ]
      assert.strictEqual(byName.sql, `select ${n % 7} /*action='${n}'*/`)
      assert.strictEqual(byText.sql, `select ${n} /*action='one'*/`)
    }
    assert.notStrictEqual(tags.on("select 1", { name: "first" }, undefined), first)
    const long = `select '${"x".repeat(3_000)}'`
    assert.notStrictEqual(tags.on(long, { name: "long" }, undefined), tags.on(long, { name: "long" }, undefined))
  })
})
