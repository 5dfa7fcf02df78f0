import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { checkModes, type Defaults, optionsOf } from "../../../src/cli/QueryOptions.ts"
import { mayRetry } from "../../../src/query/RetryPolicy.ts"
import { queriesOf } from "../../support/fileQueries.ts"
import { noFlags } from "../../support/fileRuns.ts"

const settingsOf = (header: string) => queriesOf(`${header}\nselect 1`)[0]?.settings ?? {}

const optionsFor = (header: string, flags: Partial<Defaults> = {}) => {
  const { retry, timeout, ...others } = optionsOf(settingsOf(header), { ...noFlags, ...flags })
  return {
    ...others,
    retries: retry !== undefined,
    timeout: timeout === undefined ? undefined : Duration.toMillis(timeout)
  }
}

describe("a query", () => {
  it("is run statement by statement, without limits and retries, where nobody says anything", () => {
    assert.deepStrictEqual(optionsFor(""), {
      mode: undefined,
      idempotent: undefined,
      timeout: undefined,
      retries: false
    })
  })

  it("is run as the flags say", () => {
    const flags = { readOnly: true, timeout: Duration.seconds(3), retries: 2 }
    assert.deepStrictEqual(optionsFor("", flags), {
      mode: "readOnly",
      idempotent: undefined,
      timeout: 3000,
      retries: true
    })
    assert.strictEqual(optionsFor("", { singleTransaction: true }).mode, "transaction")
  })

  it("is run as its file says, whatever the flags say", () => {
    const flags = { timeout: Duration.seconds(3), retries: 2 }
    assert.deepStrictEqual(optionsFor("-- timeout: 1s\n-- retry: 0\n-- transaction\n-- idempotent", flags), {
      mode: "transaction",
      idempotent: true,
      timeout: 1000,
      retries: false
    })
  })

  it("is retried though something of it was kept only where its file or a flag allows that", () => {
    assert.deepStrictEqual(
      ["", "-- transaction", "-- read-only", "-- idempotent"].map((header) =>
        mayRetry("unknown", optionsOf(settingsOf(header), { ...noFlags, retries: 1 }))
      ),
      [false, false, true, true]
    )
  })
})

const check = (text: string, flags: Partial<Defaults>) =>
  Effect.map(Effect.flip(checkModes(queriesOf(text), { ...noFlags, ...flags })), (error) => error.message)

describe("a header that contradicts a flag", () => {
  const two = "-- name: a\nselect 1;\n-- name: b\n"

  it.effect("is refused with the line of its query", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* check(`${two}-- transaction\nselect 2`, { readOnly: true }),
        'q.sql:3: the header `transaction` of query "b" contradicts --read-only. Remove one of them'
      )
      assert.strictEqual(
        yield* check(`${two}-- read-only\nselect 2`, { singleTransaction: true }),
        'q.sql:3: the header `read-only` of query "b" contradicts --single-transaction. Remove one of them'
      )
      assert.strictEqual(
        yield* check("select 1", { readOnly: true, singleTransaction: true }),
        "--read-only and --single-transaction contradict each other. Give one of them"
      )
      assert.strictEqual(
        yield* check(`${two}-- transaction\nselect 2`, { snapshot: true }),
        'q.sql:3: the header `transaction` of query "b" contradicts --snapshot. Remove one of them'
      )
      assert.strictEqual(
        yield* check("select 1", { snapshot: { allowStandby: true }, singleTransaction: true }),
        "--snapshot and --single-transaction contradict each other. Give one of them"
      )
    })
  )

  it.effect("is refused where a statement says so, with the line of that", () =>
    Effect.gen(function* () {
      for (const end of ["commit", "End", "rollback and chain", "prepare transaction 'x'"]) {
        assert.strictEqual(
          yield* check(`${two}begin;\nselect 2;\n${end}`, { snapshot: true }),
          'q.sql:6: query "b" ends a transaction, and with --snapshot it is one as a whole. ' +
            "Leave out BEGIN, COMMIT and ROLLBACK"
        )
      }
    })
  )

  it.effect("is none where both say the same", () =>
    Effect.gen(function* () {
      yield* checkModes(queriesOf("-- read-only\nselect 1"), { ...noFlags, readOnly: true })
      yield* checkModes(queriesOf("-- transaction\nselect 1"), { ...noFlags, singleTransaction: true })
      yield* checkModes(queriesOf("-- transaction\nselect 1"), noFlags)
      yield* checkModes(queriesOf("begin; select 1; commit"), noFlags)
      const reads = "-- read-only\nsavepoint a; select 1; rollback to a"
      yield* checkModes(queriesOf(reads), { ...noFlags, snapshot: true, readOnly: true })
    })
  )
})
