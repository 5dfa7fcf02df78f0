import { assert, describe, it } from "@effect/vitest"
import { Cause, Exit } from "effect"
import * as Outcome from "../../../src/query/Outcome.ts"

const fail = Cause.fail("refused")
const die = Cause.die("a fault")
const interrupt = Cause.interrupt(1)

describe("Outcome.fromExit", () => {
  it("keeps the value of a success, whatever it is", () => {
    assert.deepStrictEqual(Outcome.fromExit(Exit.succeed(1)), { _tag: "Succeeded", value: 1 })
    assert.deepStrictEqual(Outcome.fromExit(Exit.void), { _tag: "Succeeded", value: undefined })
  })

  it("keeps the error of a failure, whatever it is", () => {
    assert.deepStrictEqual(Outcome.fromExit(Exit.fail("refused")), { _tag: "Failed", error: "refused" })
    assert.deepStrictEqual(Outcome.fromExit(Exit.fail(undefined)), { _tag: "Failed", error: undefined })
  })

  it("makes an interruption `Cancelled`", () => {
    assert.deepStrictEqual(Outcome.fromExit(Exit.failCause(interrupt)), { _tag: "Cancelled" })
  })

  it("has no outcome for a defect, alone or beside something else", () => {
    for (const cause of [die, Cause.combine(fail, die), Cause.combine(interrupt, die)]) {
      assert.isUndefined(Outcome.fromExit(Exit.failCause(cause)))
    }
  })

  it("lets the error count where a query failed and was interrupted, in either order", () => {
    for (const cause of [Cause.combine(fail, interrupt), Cause.combine(interrupt, fail)]) {
      assert.deepStrictEqual(Outcome.fromExit(Exit.failCause(cause)), { _tag: "Failed", error: "refused" })
    }
  })

  it("takes the first of several errors", () => {
    assert.deepStrictEqual(Outcome.fromExit(Exit.failCause(Cause.combine(fail, Cause.fail("later")))), {
      _tag: "Failed",
      error: "refused"
    })
  })
})
