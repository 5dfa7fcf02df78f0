import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { QueryErrorReason } from "../../../src/query/QueryError.ts"
import {
  CancelledByServer,
  ConnectFailed,
  ConnectionLost,
  Deadlock,
  DecodeFailed,
  LockTimeout,
  MessageTooLarge,
  NoRows,
  ofRows,
  QueryError,
  QueueFull,
  QueueTimeout,
  Rejected,
  SerializationFailure,
  SessionBusy,
  SnapshotLost,
  TimedOut,
  TooBusy,
  TooManyRows
} from "../../../src/query/QueryError.ts"

type Facts = Partial<Pick<QueryError, "attempt" | "origin" | "connection" | "outcome">>

const failed = (reason: QueryErrorReason, facts?: Facts) =>
  new QueryError({ query: "transfer", reason, connection: "usable", outcome: "notApplied", ...facts })

const duplicate = new Rejected({
  sqlState: "23505",
  condition: "unique_violation",
  className: "Integrity Constraint Violation",
  message: 'duplicate key value violates unique constraint "t_pkey"'
})

/** The text of every reason, behind the name of the query. */
const texts: Readonly<Record<QueryErrorReason["_tag"], ReadonlyArray<readonly [QueryErrorReason, string]>>> = {
  Rejected: [
    [duplicate, 'duplicate key value violates unique constraint "t_pkey" (23505 unique_violation)'],
    [new Rejected({ message: "Cannot infer" }), "Cannot infer"],
    [new Rejected({ sqlState: "AB123", message: "own" }), "own (AB123)"],
    [
      new Rejected({ sqlState: "42703", condition: "undefined_column", message: "no", detail: "d", hint: "Perhaps b" }),
      "no (42703 undefined_column)\n  detail: d\n  hint: Perhaps b"
    ],
    [
      new Rejected({ sqlState: "25P02", condition: "in_failed_sql_transaction", message: "aborted" }),
      "aborted (25P02 in_failed_sql_transaction)\n" +
        "  hint: an earlier statement of the transaction failed, or its plan was outdated: " +
        "roll back and run the unit again"
    ],
    [
      new Rejected({ sqlState: "26000", condition: "invalid_sql_statement_name", message: "gone" }),
      "gone (26000 invalid_sql_statement_name)\n" +
        "  hint: prepared statements are gone after DISCARD or DEALLOCATE, and behind a pooler that shares connections"
    ]
  ],
  ConnectFailed: [
    [
      new ConnectFailed({ message: "ECONNREFUSED" }),
      "ECONNREFUSED\n  hint: check host and port, and that the server runs"
    ],
    [
      new ConnectFailed({ sqlState: "28P01", condition: "invalid_password", message: "refused" }),
      "refused (28P01 invalid_password)\n  hint: check user, password and database"
    ],
    [new ConnectFailed({ sqlState: "08P01", message: "what?" }), "what? (08P01)"]
  ],
  ConnectionLost: [
    [
      new ConnectionLost({ sqlState: "57P01", condition: "admin_shutdown", message: "terminating" }),
      "terminating (57P01 admin_shutdown)\n  hint: the server's log tells why; a retry takes a fresh session"
    ]
  ],
  TooBusy: [
    [
      new TooBusy({ sqlState: "53300", condition: "too_many_connections", message: "too many clients" }),
      "too many clients (53300 too_many_connections)\n" +
        "  hint: lower `maxConnections`, or raise the server's max_connections"
    ],
    [
      new TooBusy({ sqlState: "57P03", condition: "cannot_connect_now", message: "starting up" }),
      "starting up (57P03 cannot_connect_now)\n  hint: the server is starting or stopping: retry later"
    ],
    [
      new TooBusy({ sqlState: "53200", condition: "out_of_memory", message: "out of memory" }),
      "out of memory (53200 out_of_memory)\n  hint: retry later, or run fewer queries at once"
    ]
  ],
  Deadlock: [
    [
      new Deadlock({ sqlState: "40P01", condition: "deadlock_detected", message: "deadlock detected", detail: "a\nb" }),
      "deadlock detected (40P01 deadlock_detected)\n  detail: a\n    b\n" +
        "  hint: retry the whole unit, and let all transactions take their locks in one order"
    ]
  ],
  SerializationFailure: [
    [
      new SerializationFailure({ sqlState: "40001", condition: "serialization_failure", message: "concurrent update" }),
      "concurrent update (40001 serialization_failure)\n  hint: retry the whole transaction"
    ]
  ],
  LockTimeout: [
    [
      new LockTimeout({ sqlState: "55P03", condition: "lock_not_available", message: "could not obtain lock" }),
      "could not obtain lock (55P03 lock_not_available)\n  hint: retry later, or raise lock_timeout"
    ]
  ],
  QueueFull: [
    [
      new QueueFull({ limit: 100 }),
      "the queue is full: 100 queries may wait for a slot\n" +
        "  hint: raise `maxConnections` or `queueLimit`, or shed load"
    ]
  ],
  QueueTimeout: [
    [
      new QueueTimeout({ afterMillis: 500 }),
      "got no slot within 500 ms\n" +
        "  hint: raise `queueTimeout`, `concurrency` or `maxConnections`, or hand over fewer queries at once"
    ]
  ],
  TimedOut: [
    [
      new TimedOut({ limit: "timeout", afterMillis: 2000 }),
      "exceeded its timeout of 2000 ms\n  hint: raise `timeout`, or let explain (analyze) tell where the time goes"
    ],
    [
      new TimedOut({ limit: "deadline", afterMillis: 2000 }),
      "exceeded its deadline of 2000 ms\n  hint: raise `deadline`, or let explain (analyze) tell where the time goes"
    ]
  ],
  CancelledByServer: [
    [
      new CancelledByServer({ sqlState: "57014", condition: "query_canceled", message: "due to statement timeout" }),
      "due to statement timeout (57014 query_canceled)\n" +
        "  hint: raise statement_timeout, or find out who cancelled it"
    ]
  ],
  SessionBusy: [
    [
      new SessionBusy(),
      "the session has an open stream of rows, so it cannot run another statement before that ends\n" +
        "  hint: collect the rows first, or join in SQL"
    ]
  ],
  NoRows: [[new NoRows(), "expected one row, got none\n  hint: use `findOneOption` where no row is no failure"]],
  TooManyRows: [
    [
      new TooManyRows({ count: 3 }),
      "expected one row, got 3\n  hint: use `findAll`, or narrow the statement to one row"
    ]
  ],
  DecodeFailed: [
    [
      new DecodeFailed({ message: "Expected string" }),
      "Expected string\n  hint: compare the query's schema with the columns that its statement gives"
    ]
  ],
  MessageTooLarge: [
    [
      new MessageTooLarge({ message: "Message length 9 exceeds maxMessageSize 8" }),
      "Message length 9 exceeds maxMessageSize 8\n  hint: raise `maxMessageSize`, or read large values in parts"
    ]
  ],
  SnapshotLost: [
    [
      new SnapshotLost({ message: "the leader is gone" }),
      "the leader is gone\n  hint: run all of it again, on a new snapshot"
    ]
  ]
}

const everyText = Object.entries(texts).flatMap(([tag, all]) =>
  all.map(([reason, text]) => ({ tag, reason, text, first: text.split("\n")[0] }))
)

/** The lines that follow the first. */
const told = (facts: Facts) => failed(duplicate, facts).message.split("\n").slice(1)

/** The lines that show a place. */
const shown = (line: number, column: number, text: string) => {
  const position = { offset: 1, line, column, text }
  const reason = new Rejected({ sqlState: "42601", condition: "syntax_error", message: "no", position, hint: "h" })
  return failed(reason).message.split("\n").slice(1, -1)
}

describe("the message of a failed query", () => {
  it.each(everyText)("says of $tag: $first", ({ reason, tag, text }) => {
    assert.strictEqual(reason._tag, tag)
    assert.strictEqual(failed(reason).message, `Query "transfer" failed: ${text}`)
  })

  it("gives the server's own hint before ours", () => {
    const reason = new Deadlock({ sqlState: "40P01", message: "deadlock", hint: "See server log." })
    assert.strictEqual(failed(reason).hint, "See server log.")
  })

  it("ends in the attempt, the outcome and the origin, where there is something to say of them", () => {
    assert.deepStrictEqual(told({ attempt: 1, outcome: "notApplied" }), [])
    assert.deepStrictEqual(told({ attempt: 3, outcome: "partial", origin: "src/app.ts:10:5" }), [
      "  attempt: 3",
      "  outcome: partial: what its completed statements wrote is kept",
      "  at src/app.ts:10:5"
    ])
    assert.deepStrictEqual(told({ outcome: "unknown" }), ["  outcome: unknown: the server may have applied it"])
  })

  it("shows the line of the SQL with a caret under the place", () => {
    assert.deepStrictEqual(shown(12, 10, "select * form t"), [
      "  12 | select * form t", //
      "                ^"
    ])
    assert.deepStrictEqual(shown(1, 1, ""), ["  1 | ", "      ^"])
    assert.deepStrictEqual(shown(1, 4, "abc"), ["  1 | abc", "         ^"])
    assert.deepStrictEqual(shown(1, 9, "abc"), ["  1 | abc", "         ^"])
    assert.deepStrictEqual(shown(1, 5, "'😀', x"), ["  1 | '😀', x", "          ^"])
  })

  it("puts a blank for what would move the caret or act on a terminal", () => {
    assert.deepStrictEqual(shown(1, 3, "\t\u001bX\u202e"), ["  1 |   X ", "        ^"])
  })

  it("cuts a long line around the place", () => {
    const long = "0123456789".repeat(20)
    const cut = (column: number) => {
      const [source = "", caret = ""] = shown(1, column, long)
      assert.strictEqual(source[caret.indexOf("^")] ?? "end", long[column - 1] ?? "end")
      assert.isAtMost(source.length, 84)
      return source
    }
    assert.strictEqual(cut(1), `  1 | ${long.slice(0, 72)}...`)
    assert.strictEqual(cut(37), `  1 | ${long.slice(0, 72)}...`)
    assert.strictEqual(cut(38), `  1 | ...${long.slice(1, 73)}...`)
    assert.strictEqual(cut(165), `  1 | ...${long.slice(128)}`)
    assert.strictEqual(cut(201), `  1 | ...${long.slice(128)}`)
    for (let column = 1; column <= 200; column++) cut(column)
    assert.strictEqual(shown(1, 72, long.slice(0, 72))[0], `  1 | ${long.slice(0, 72)}`)
  })
})

describe("a QueryError", () => {
  it("is of the first attempt, and usable and not applied when it is about rows", () => {
    const error = ofRows("one", new NoRows())
    assert.deepInclude({ ...error }, { query: "one", attempt: 1, connection: "usable", outcome: "notApplied" })
    assert.isUndefined(error.origin)
  })

  it("keeps its reason when the pool adds what it knows", () => {
    const error = failed(duplicate, { origin: "a.ts:1:1" })
    const known = error.with({ outcome: "partial", connection: "gone" }).atAttempt(2)
    assert.instanceOf(known, QueryError)
    assert.strictEqual(known.reason, duplicate)
    assert.deepInclude(
      { ...known },
      { query: "transfer", attempt: 2, origin: "a.ts:1:1", outcome: "partial", connection: "gone" }
    )
    assert.strictEqual(error.attempt, 1)
  })

  it("has no attempt before the first", () => {
    assert.throws(() => failed(duplicate, { attempt: 0 }))
  })

  it.each(everyText)("goes through JSON and back as $tag: $first", ({ reason }) => {
    const json = Schema.toCodecJson(QueryError)
    const error = failed(reason, { attempt: 2, outcome: "unknown" })
    const sent: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(json)(error)))
    const received = Schema.decodeUnknownSync(json)(sent)
    assert.instanceOf(received, QueryError)
    assert.strictEqual(received.message, error.message)
    assert.deepStrictEqual({ ...received.reason }, { ...reason })
  })
})
