import { assert, describe, it } from "@effect/vitest"
import { PgTypes } from "@effect/sql-pg"
import { Arbitrary, Schema } from "effect"
import { isNumeric, toJson, toLine } from "../../../src/cli/TextValue.ts"

const { OID } = PgTypes

/** As it stands in the document: numbers are compared as digits, not as what JavaScript makes of them. */
const inJson = (text: string | null, typeOid: number): string => JSON.stringify(toJson(text, typeOid))

describe("a value in JSON", () => {
  it.each([
    ["a null", null, OID.int4, "null"],
    ["a boolean", "t", OID.bool, "true"],
    ["an int4", "-2147483648", OID.int4, "-2147483648"],
    ["the largest int8 that a double holds", "9007199254740991", OID.int8, "9007199254740991"],
    ["an OID", "4294967295", OID.oid, "4294967295"],
    ["a numeric of 15 digits", "0.123456789012345", OID.numeric, "0.123456789012345"],
    ["a numeric zero", "0.000", OID.numeric, "0"],
    ["the smallest double", "5e-324", OID.float8, "5e-324"],
    ["the largest double", "1.7976931348623157e+308", OID.float8, "1.7976931348623157e+308"],
    ["a negative zero", "-0", OID.float8, "-0"],
    ["a float4", "3.4028235e+38", OID.float4, "3.4028235e+38"]
  ])("is a number or a literal for %s", (_, text, typeOid, expected) => {
    assert.strictEqual(inJson(text, typeOid), expected)
  })

  it.each([
    ["an int8 beyond it", "9007199254740992", OID.int8],
    ["the smallest int8", "-9223372036854775808", OID.int8],
    ["a numeric of 16 digits", "0.1234567890123456", OID.numeric],
    ["a numeric larger than any double", `1${"0".repeat(400)}`, OID.numeric],
    ["a numeric smaller than any double", `0.${"0".repeat(400)}1`, OID.numeric],
    ["a numeric where a double has fewer digits", `0.${"0".repeat(310)}123456789012345`, OID.numeric],
    ["not a number", "NaN", OID.numeric],
    ["infinity", "-Infinity", OID.float8],
    ["a timestamp, to the microsecond", "2000-01-01 00:00:00.000001+00", OID.timestamptz],
    ["bytes", "\\x00ff", OID.bytea],
    ["a type of a user", "(1,x)", 99_999],
    ["an array with bounds of its own", "[0:1]={1,2}", OID.int4Array]
  ])("is text for %s", (_, text, typeOid) => {
    assert.strictEqual(inJson(text, typeOid), JSON.stringify(text))
  })

  it("is an array for an array, of any depth, with its nulls", () => {
    assert.strictEqual(inJson("{}", OID.int4Array), "[]")
    assert.strictEqual(inJson("{{1,NULL},{3,4}}", OID.int4Array), "[[1,null],[3,4]]")
    assert.strictEqual(inJson("{9223372036854775807,1}", OID.int8Array), '["9223372036854775807",1]')
    assert.strictEqual(inJson("{t,f,NULL}", OID.boolArray), "[true,false,null]")
    assert.strictEqual(inJson('{"NULL",NULL,"","a,b"}', OID.textArray), '["NULL",null,"","a,b"]')
    assert.strictEqual(inJson('{"{\\"a\\": [1, 2]}","null",NULL}', OID.jsonbArray), '[{"a":[1,2]},null,null]')
    assert.strictEqual(inJson('{"1 day",00:00:01}', OID.intervalArray), '["1 day","00:00:01"]')
  })

  it("keeps each digit of the numbers inside JSON", () => {
    const text = '{"a":12345678901234567890,"b":[1.50,1e400,-0],"c":{"d":0.1234567890123456789}}'
    assert.strictEqual(inJson(text, OID.jsonb), text)
    assert.strictEqual(inJson("123456789012345678", OID.json), "123456789012345678")
  })

  it("keeps a key that means something to JavaScript", () => {
    const text = '{"__proto__":{"toString":1},"constructor":null}'
    assert.strictEqual(inJson(text, OID.json), text)
  })

  it("is text for JSON that is nested deeper than this process can follow", () => {
    const deep = "[".repeat(50_000) + "]".repeat(50_000)
    assert.strictEqual(toJson(deep, OID.json), deep)
  })
})

describe("a value in a line", () => {
  const characters = [
    "\u0000",
    "\u001b",
    "\u007f",
    "\u009b",
    "\n",
    "\t",
    "\u061c",
    "\u2028",
    "\u202e",
    "\u2066",
    "[31m",
    "é",
    "漢",
    "👩‍👩‍👧‍👦",
    "x"
  ]
  const acting = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u

  it("shows what would act on the terminal as an escape", () => {
    assert.strictEqual(
      toLine("\u001b[31mred\u009b0m\n\r\t\u0007\u202eback\u2028"),
      "\\u001b[31mred\\u009b0m\\n\\r\\t\\u0007\\u202eback\\u2028"
    )
  })

  it.prop(
    "leaves nothing in any text that acts on a terminal, and every other character",
    [Arbitrary.array(Arbitrary.schema(Schema.Literals(characters)), { maxLength: 12 })],
    ([parts]) => {
      const line = toLine(parts.join(""))
      assert.notMatch(line, acting)
      assert.strictEqual(line.replaceAll(/\\(u....|[nrt])/g, ""), parts.filter((part) => !acting.test(part)).join(""))
    }
  )
})

describe("the side of a column", () => {
  it("is the right one for numbers alone", () => {
    for (const typeOid of [OID.int2, OID.int4, OID.int8, OID.oid, OID.numeric, OID.float4, OID.float8]) {
      assert.isTrue(isNumeric(typeOid))
    }
    for (const typeOid of [OID.text, OID.bool, OID.timestamptz, OID.int4Array, 99_999]) {
      assert.isFalse(isNumeric(typeOid))
    }
  })
})
