import { PgTypes } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { AuthenticationError, ConnectionError, SqlError, SqlSyntaxError, UnknownError } from "effect/sql/SqlError"
import type { SqlErrorReason } from "effect/sql/SqlError"
import { StreamOpen, toQueryError } from "../../../src/pool/PgErrors.ts"

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

const blank = {
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
        position: "8",
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
      message: "m",
      detail: "d",
      hint: "h",
      position: 8,
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
    becomes: { _tag: "Rejected", sqlState: "P0001", message: "m", position: undefined, ...blank },
    connection: "usable"
  },
  {
    what: "an end of the connection, in the server's own words",
    reason: unknown(answer({ code: "57P01", severity: "FATAL", message: "terminating connection" })),
    becomes: { _tag: "ConnectionLost", message: "terminating connection" },
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
    becomes: { _tag: "Rejected", sqlState: "22012", message: "Division", position: undefined, ...blank },
    connection: "usable"
  },
  {
    what: "a server that cannot reach another server",
    reason: new ConnectionError({ cause: answer({ code: "08001", message: "could not connect" }), operation: "query" }),
    becomes: { _tag: "Rejected", sqlState: "08001", message: "could not connect", position: undefined, ...blank },
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
    becomes: { _tag: "ConnectFailed", sqlState: "53300", message: "too many clients" },
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
    becomes: { _tag: "Rejected", sqlState: undefined, message: "Cannot infer", position: undefined, ...blank },
    connection: "usable"
  },
  {
    what: "a value that cannot be read, after which the driver hangs up",
    reason: unknown(new PgTypes.CodecError({ message: "Invalid UTF-8" }), "PgConnection: Failed to decode row"),
    becomes: { _tag: "DecodeFailed", message: "Invalid UTF-8" },
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
      position: undefined,
      ...blank
    },
    connection: "usable"
  }
]

describe("toQueryError", () => {
  it.each(cases)("tells of $what", ({ becomes, connection, reason }) => {
    const error = toQueryError("the query", new SqlError({ reason }))
    assert.deepInclude(error, { _tag: "QueryError", query: "the query", connection })
    assert.deepInclude({ ...error.reason, message: error.reason.message }, becomes)
    assert.match(error.message, /^Query "the query" failed: /)
  })

  it("names the query, what went wrong and the SQLSTATE in one line", () => {
    const reason = unknown(answer({ code: "22012", message: "division by zero" }))
    assert.strictEqual(
      toQueryError("totals", new SqlError({ reason })).message,
      'Query "totals" failed: division by zero (22012)'
    )
  })
})
