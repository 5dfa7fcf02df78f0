import { PgProtocol, PgTypes } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  AuthenticationError,
  ConnectionError,
  SqlError,
  SqlSyntaxError,
  StatementTimeoutError,
  UnknownError
} from "effect/sql/SqlError"
import type { SqlErrorReason } from "effect/sql/SqlError"
import type { Facts, UnitFacts } from "../../../src/pool/PgErrors.ts"
import { classify, isConnectionGone, outcomeOf, StreamOpen, toQueryError } from "../../../src/pool/PgErrors.ts"
import type { QueryErrorReason } from "../../../src/query/QueryError.ts"
import { conditions } from "../../../src/pool/SqlState.ts"

/** An ErrorResponse as the driver gives it. */
const answer = (fields: Readonly<Record<string, string>>) =>
  Object.assign(new Error(fields["message"] ?? "no message"), { severity: "ERROR", ...fields })

const unknown = (cause: unknown, message = "PgConnection: Query failed", operation = "query") =>
  new UnknownError({ cause, message, operation })

interface Case {
  readonly what: string
  readonly reason: SqlErrorReason
  readonly becomes: object
  readonly connection: "usable" | "gone"
}

const untouched: UnitFacts = { completed: 0, unanswered: "nothing", tainted: false }

const facts = (reason: SqlErrorReason, rest?: Partial<Facts>): Facts => ({
  error: new SqlError({ reason }),
  phase: reason.operation === "connect" ? "connect" : "statement",
  sql: "select\n  1, nowhere",
  unit: untouched,
  cancelled: false,
  ...rest
})

const blank = {
  position: undefined,
  detail: undefined,
  hint: undefined,
  constraint: undefined,
  schema: undefined,
  table: undefined,
  column: undefined
}

const cases: ReadonlyArray<Case> = [
  {
    what: "all that the server says",
    reason: new SqlSyntaxError({
      cause: answer({
        code: "42703",
        message: "m",
        detail: "d",
        hint: "h",
        position: "13",
        constraint: "c",
        schema: "s",
        table: "t",
        column: "col"
      }),
      operation: "query"
    }),
    becomes: {
      _tag: "Rejected",
      sqlState: "42703",
      condition: "undefined_column",
      className: "Syntax Error or Access Rule Violation",
      message: "m",
      detail: "d",
      hint: "h",
      position: { offset: 13, line: 2, column: 6, text: "  1, nowhere" },
      constraint: "c",
      schema: "s",
      table: "t",
      column: "col"
    },
    connection: "usable"
  },
  {
    what: "an answer that says little",
    reason: unknown(answer({ code: "P0001", message: "m", position: "0", detail: "" })),
    becomes: { _tag: "Rejected", sqlState: "P0001", message: "m", ...blank },
    connection: "usable"
  },
  {
    what: "an end of the connection, in the server's own words",
    reason: unknown(answer({ code: "57P01", severity: "FATAL", message: "terminating connection" })),
    becomes: {
      _tag: "ConnectionLost",
      sqlState: "57P01",
      condition: "admin_shutdown",
      message: "terminating connection"
    },
    connection: "gone"
  },
  {
    what: "an end of the connection, in another language",
    reason: unknown(answer({ code: "57P01", severity: "FATAL!", severityUnlocalized: "FATAL", message: "Verbindung" })),
    becomes: { _tag: "ConnectionLost", message: "Verbindung" },
    connection: "gone"
  },
  {
    what: "an error, in a language where errors are called fatal",
    reason: unknown(answer({ code: "22012", severity: "FATAL", severityUnlocalized: "ERROR", message: "Division" })),
    becomes: { _tag: "Rejected", sqlState: "22012", message: "Division", ...blank },
    connection: "usable"
  },
  {
    what: "a server that cannot reach another server",
    reason: new ConnectionError({ cause: answer({ code: "08001", message: "could not connect" }), operation: "query" }),
    becomes: { _tag: "Rejected", sqlState: "08001", message: "could not connect", ...blank },
    connection: "usable"
  },
  {
    what: "a socket that closed",
    reason: new ConnectionError({
      cause: new Error("Connection closed"),
      message: "PgConnection: x",
      operation: "query"
    }),
    becomes: { _tag: "ConnectionLost", message: "Connection closed" },
    connection: "gone"
  },
  {
    what: "a server that lets nobody in",
    reason: unknown(answer({ code: "53300", severity: "FATAL", message: "too many clients" }), "x", "connect"),
    becomes: {
      _tag: "TooBusy",
      sqlState: "53300",
      condition: "too_many_connections",
      message: "too many clients",
      detail: undefined,
      hint: undefined
    },
    connection: "gone"
  },
  {
    what: "a wrong password",
    reason: new AuthenticationError({
      cause: answer({ code: "28P01", severity: "FATAL", message: "password authentication failed" }),
      operation: "connect"
    }),
    becomes: { _tag: "ConnectFailed", sqlState: "28P01", message: "password authentication failed" },
    connection: "gone"
  },
  ...["ECONNREFUSED", "EPIPE"].map((code) => ({
    what: `a socket's ${code}, which is no SQLSTATE`,
    reason: new ConnectionError({ cause: Object.assign(new Error(code), { code }), operation: "connect" }),
    becomes: { _tag: "ConnectFailed", sqlState: undefined, message: code },
    connection: "gone" as const
  })),
  {
    what: "a parameter that cannot be sent",
    reason: unknown(new PgTypes.CodecError({ message: "Cannot infer" }), "PgConnection: Failed to encode query"),
    becomes: { _tag: "Rejected", sqlState: undefined, message: "Cannot infer", ...blank },
    connection: "usable"
  },
  {
    what: "a value that cannot be read, after which the driver hangs up",
    reason: unknown(new PgTypes.CodecError({ message: "Invalid UTF-8" }), "PgConnection: Failed to decode row"),
    becomes: { _tag: "DecodeFailed", message: "Invalid UTF-8" },
    connection: "gone"
  },
  {
    what: "a value that a codec of the user throws at",
    reason: unknown(new Error("no such colour"), "PgConnection: Failed to decode row"),
    becomes: { _tag: "DecodeFailed", message: "no such colour" },
    connection: "gone"
  },
  {
    what: "a statement under an open stream",
    reason: unknown(new StreamOpen()),
    becomes: { _tag: "SessionBusy" },
    connection: "usable"
  },
  {
    what: "a cause that is no object",
    reason: unknown("just text"),
    becomes: {
      _tag: "Rejected",
      sqlState: undefined,
      message: "PgConnection: Query failed",
      ...blank
    },
    connection: "usable"
  }
]

/** Its message is no property of its own. */
const fieldsOf = (reason: QueryErrorReason) => ({ ...reason, message: reason.message })

describe("an error of the driver", () => {
  it.each(cases)("tells of $what", ({ becomes, connection, reason }) => {
    const classified = classify(facts(reason))
    assert.deepInclude(fieldsOf(classified.reason), becomes)
    assert.deepInclude(classified, { connection, outcome: "notApplied" })
  })

  it("tells of a message that is too large, which is known by the words of the driver's own parser", () => {
    const parser = PgProtocol.makeParser({ maxMessageSize: 8 })
    let cause: unknown
    try {
      parser.push(new Uint8Array([0x44, 0, 0, 0, 9]))
    } catch (error) {
      cause = error
    }
    const reason = new ConnectionError({
      cause,
      message: "PgConnection: Failed to parse server messages",
      operation: "query"
    })
    const { connection, reason: found } = classify(facts(reason))
    assert.deepInclude(fieldsOf(found), {
      _tag: "MessageTooLarge",
      message: "Message length 9 exceeds maxMessageSize 8"
    })
    assert.strictEqual(connection, "gone")
  })

  it("tells a cancel that the pool sent from one that it did not", () => {
    const reason = new StatementTimeoutError({
      cause: answer({ code: "57014", message: "canceling statement due to statement timeout" }),
      operation: "query"
    })
    assert.deepInclude(classify(facts(reason)), { connection: "usable" })
    assert.deepInclude(fieldsOf(classify(facts(reason)).reason), {
      _tag: "CancelledByServer",
      sqlState: "57014",
      message: "canceling statement due to statement timeout"
    })
    const ours = classify(facts(reason, { cancelled: true }))
    assert.deepInclude({ ...ours.reason }, { _tag: "Rejected", sqlState: "57014" })
    assert.strictEqual(ours.connection, "gone")
  })

  it("does not blame the session for a connection that its query opened beside it", () => {
    const reason = new ConnectionError({ cause: new Error("ECONNREFUSED"), operation: "connect" })
    const beside = classify(facts(reason, { phase: "statement" }))
    assert.strictEqual(beside.reason._tag, "ConnectFailed")
    assert.strictEqual(beside.connection, "usable")
  })

  it("is unknown in its outcome when the server says that itself", () => {
    for (const code of ["08007", "40003"]) {
      assert.strictEqual(classify(facts(unknown(answer({ code })))).outcome, "unknown")
    }
  })

  it("has the outcome of its unit, whatever it is", () => {
    const unit: UnitFacts = { completed: 1, unanswered: "nothing", tainted: false }
    for (const { reason } of cases) assert.strictEqual(classify(facts(reason, { unit })).outcome, "partial")
  })

  it("says whether its connection is gone, and of what is no such error that it is not", () => {
    for (const { connection, reason } of cases) {
      if (reason.operation === "query") {
        assert.strictEqual(isConnectionGone(new SqlError({ reason })), connection === "gone")
      }
    }
    assert.isFalse(isConnectionGone(new Error("Connection closed")))
    assert.isFalse(isConnectionGone(undefined))
  })
})

const placeIn = (sql: string | undefined, position: string) => {
  const { reason } = classify(facts(unknown(answer({ code: "42601", position })), { sql }))
  return reason._tag === "Rejected" ? reason.position : reason
}

describe("a place in the statement", () => {
  it.each([
    ["select 1", 1, 1, 1, "select 1"],
    ["select\n\n form", 9, 3, 1, " form"],
    ["select\r\n1,\r\nx", 13, 3, 1, "x"],
    ["select\r1", 8, 2, 1, "1"],
    ["select '😀', x", 13, 1, 13, "select '😀', x"],
    ["select", 7, 1, 7, "select"],
    ["'😀😀'\nx", 6, 2, 1, "x"],
    ["a\nb", 2, 1, 2, "a"]
  ] as const)("of %j at %i is in line %i", (sql, offset, line, column, text) => {
    assert.deepStrictEqual(placeIn(sql, String(offset)), { offset, line, column, text })
  })

  it("is not made up: the statement is not known, or the server gives none", () => {
    assert.isUndefined(placeIn(undefined, "3"))
    for (const position of ["", "0", "-1", "1.5", "x"]) assert.isUndefined(placeIn("select 1", position))
  })

  it("behind the end of the statement is its end", () => {
    assert.deepStrictEqual(placeIn("select\n1", "99"), { offset: 99, line: 2, column: 2, text: "1" })
  })
})

const special: Readonly<Record<string, QueryErrorReason["_tag"]>> = {
  "40P01": "Deadlock",
  "40001": "SerializationFailure",
  "55P03": "LockTimeout",
  "57014": "CancelledByServer",
  "57P03": "TooBusy",
  "53000": "TooBusy",
  "53100": "TooBusy",
  "53200": "TooBusy",
  "53300": "TooBusy",
  "53400": "TooBusy"
}

/** What a SQLSTATE becomes when the session lives on. */
const tagOf = (sqlState: string) => special[sqlState] ?? "Rejected"

describe("every SQLSTATE", () => {
  interface Props {
    readonly cause: unknown
    readonly operation: string
  }
  const classes = [
    (props: Props) => new UnknownError(props),
    (props: Props) => new ConnectionError(props),
    (props: Props) => new StatementTimeoutError(props)
  ]

  it.each(Object.entries(conditions))("%s, %s, is told whatever class the driver puts it in", (code, condition) => {
    for (const make of classes) {
      const told = (severity: string, operation: string) => {
        const cause = answer({ code, severity })
        return classify(facts(make({ cause, operation })))
      }
      const refused = told("ERROR", "query")
      assert.deepInclude({ ...refused.reason }, { _tag: tagOf(code), sqlState: code, condition })
      assert.strictEqual(refused.connection, "usable")
      for (const severity of ["FATAL", "PANIC"]) {
        const lost = told(severity, "query")
        const tag = tagOf(code) === "TooBusy" ? "TooBusy" : "ConnectionLost"
        assert.deepInclude({ ...lost.reason }, { _tag: tag, sqlState: code, condition })
        assert.strictEqual(lost.connection, "gone")
      }
      const closed = told("FATAL", "connect")
      const tag = tagOf(code) === "TooBusy" ? "TooBusy" : "ConnectFailed"
      assert.deepInclude({ ...closed.reason }, { _tag: tag, sqlState: code, condition })
      assert.strictEqual(closed.connection, "gone")
    }
  })

  it("that the manual does not have is told as it is", () => {
    const { reason } = classify(facts(unknown(answer({ code: "AB123" }))))
    assert.deepInclude(
      { ...reason },
      { _tag: "Rejected", sqlState: "AB123", condition: undefined, className: undefined }
    )
  })
})

const rank = (unit: UnitFacts) => ["notApplied", "partial", "unknown"].indexOf(outcomeOf(unit))

describe("what is left of a unit", () => {
  const Unit = Schema.Struct({
    completed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    unanswered: Schema.Literals(["nothing", "statement", "inTransaction", "commit"]),
    tainted: Schema.Boolean
  })

  it.prop(
    "is known only when everything was answered, and nothing only when nothing completed",
    [Unit],
    ([unit]) => {
      const outcome = outcomeOf(unit)
      const answered = unit.unanswered === "nothing" || unit.unanswered === "inTransaction"
      assert.strictEqual(outcome !== "unknown", answered && !unit.tainted)
      if (outcome === "notApplied") assert.strictEqual(unit.completed, 0)
      if (outcome === "partial") assert.isAbove(unit.completed, 0)
    },
    { arbitrary: { runs: 200, seed: 20_260_103, size: 20 } }
  )

  it.prop(
    "does not become more certain by more work",
    [Unit],
    ([unit]) => {
      assert.isAtLeast(rank({ ...unit, completed: unit.completed + 1 }), rank(unit))
      assert.isAtLeast(rank({ ...unit, tainted: true }), rank(unit))
      assert.isAtLeast(rank({ ...unit, unanswered: "commit" }), rank(unit))
    },
    { arbitrary: { runs: 200, seed: 20_260_104, size: 20 } }
  )
})

describe("toQueryError", () => {
  it("names the query, and where it was made", () => {
    const classified = classify(facts(unknown(answer({ code: "22012", message: "division by zero" }))))
    const error = toQueryError({ name: "totals", origin: "src/app.ts:10:5" }, classified)
    assert.deepInclude({ ...error }, { query: "totals", origin: "src/app.ts:10:5", attempt: 1, ...classified })
    assert.strictEqual(
      error.message,
      'Query "totals" failed: division by zero (22012 division_by_zero)\n  at src/app.ts:10:5'
    )
  })
})
