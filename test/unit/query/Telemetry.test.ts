import { assert, describe, it } from "@effect/vitest"
import { Cause, Exit } from "effect"
import { QueryError, QueueTimeout, Rejected } from "../../../src/query/QueryError.ts"
import { exitOfSpan, failureOf, failureOfExit, summaryOf } from "../../../src/query/Telemetry.ts"

const failed = (reason: QueryError["reason"]) =>
  new QueryError({ query: "q", reason, connection: "usable", outcome: "notApplied" })

const rejected = failed(
  new Rejected({
    sqlState: "23505",
    condition: "unique_violation",
    message: 'duplicate key value violates unique constraint "emails"',
    detail: "Key (email)=(sesame) already exists."
  })
)

describe("what is told of a failure", () => {
  it("is its SQLSTATE and the name of that, where the server gave one", () => {
    assert.deepStrictEqual(failureOf(rejected), { type: "23505", sqlState: "23505", message: "unique_violation" })
  })

  it("is its reason in the pool's own words, where there is none", () => {
    assert.deepStrictEqual(failureOf(failed(new QueueTimeout({ afterMillis: 5 }))), {
      type: "QueueTimeout",
      sqlState: undefined,
      message: "got no slot within 5 ms"
    })
  })

  it.each([
    [{ _tag: "OwnError", secret: "sesame" }, "OwnError"],
    [new TypeError("sesame"), "TypeError"],
    ["sesame", "_OTHER"],
    [undefined, "_OTHER"]
  ])("of %o is no more than its class", (error, type) => {
    assert.deepStrictEqual(failureOf(error), { type, sqlState: undefined, message: type })
  })

  it("is that it was cancelled, where it was only interrupted", () => {
    const failure = failureOfExit(Exit.interrupt(1))
    assert.strictEqual(failure?.type, "cancelled")
    const exit = exitOfSpan(Exit.interrupt(1), failure, { values: false })
    assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
  })

  it("has no words of the server and no result, unless values are told", () => {
    const exit = Exit.fail(rejected)
    const told = exitOfSpan(exit, failureOfExit(exit), { values: false, origin: "app.ts:1:2" })
    const error = Exit.isFailure(told) ? Cause.squash(told.cause) : undefined
    assert.instanceOf(error, Error)
    assert.strictEqual(error.stack, "23505: unique_violation\n    at app.ts:1:2")
    assert.strictEqual(exitOfSpan(exit, failureOfExit(exit), { values: true }), exit)
    assert.deepStrictEqual(exitOfSpan(Exit.succeed("rows"), undefined, { values: true }), Exit.void)
  })
})

describe("the summary of a query", () => {
  it.each([
    ["accounts", "accounts"],
    ["accounts [1/8]", "accounts"],
    ["accounts [plan]", "accounts"],
    ["accounts [old]", "accounts [old]"]
  ])("of %s is %s", (name, summary) => {
    assert.strictEqual(summaryOf(name), summary)
  })
})
