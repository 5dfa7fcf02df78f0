import { Result } from "effect"
import { assert, describe, it } from "vitest"
import { faultOfName, pathsOf } from "../../../src/cli/OutNames.ts"

const queries = (...names: ReadonlyArray<string>) =>
  names.map((name, index) => ({ name, file: "a.sql", line: index + 1 }))

const messageOf = (...names: ReadonlyArray<string>) => {
  const paths = pathsOf(queries(...names), "csv")
  return Result.isFailure(paths) ? paths.failure : undefined
}

describe("the name of a file", () => {
  it("is the query's, with its folders", () => {
    const paths = pathsOf(queries("orders", "daily/orders", "é .x"), "csv")
    assert.deepStrictEqual([...Result.getOrThrow(paths).values()], ["orders.csv", "daily/orders.csv", "é .x.csv"])
  })

  it("is refused where some system cannot have it, or where it leaves the folder", () => {
    for (const name of [
      "../x",
      "a/../../x",
      ".",
      "a/./b",
      "/x",
      "\\x",
      "C:x",
      "a//b",
      "a/",
      "",
      "nul",
      "a/COM1.txt",
      ".querypool/x",
      ".QUERYPOOL",
      "a\nb",
      "a\u2028b",
      "a?",
      "a ",
      "a./b",
      "x".repeat(252),
      "é".repeat(126),
      `${"a/".repeat(1_100)}b`,
      "\ud800"
    ]) {
      assert.isString(faultOfName(name, "csv"), name)
    }
    assert.isUndefined(faultOfName("x".repeat(251), "csv"))
  })

  it("is no other query's, whatever the case, and no folder of another's", () => {
    assert.match(messageOf("a", "A") ?? "", /^a\.sql:2: query "A" and "a" in a\.sql:1 cannot both/)
    assert.isString(messageOf("é", "e\u0301"))
    assert.isString(messageOf("ΟΣ", "οσ"))
    assert.isString(messageOf("οσ", "ος"))
    assert.isString(messageOf("straße", "STRASSE"))
    assert.isString(messageOf("a", "a.csv/b"))
    assert.isString(messageOf("a.csv/b", "a"))
    assert.isString(messageOf("x/y.csv/b", "X/Y"))
    assert.isUndefined(messageOf("a", "b/a", "b/c", "B/d"))
  })
})
