import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Option, Schedule, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Query, QueryError, QueryPool, RetryPolicy } from "querypool"
import type { QueryEvent } from "querypool"
import { Faults, TestQueryPool, TestTime } from "querypool/testing"

const User = Schema.Struct({ id: Schema.Finite, name: Schema.String })
const userById = (id: number) =>
  Query.findOne({ name: "user by id", schema: User, statement: (sql) => sql`select * from users where id = ${id}` })
const ann = { id: 7, name: "Ann" }

/** Sends these statements, one after the other, and gives the rows of the last. */
const sends = (name: string, texts: ReadonlyArray<string>, options?: Query.Options<QueryError.QueryError>) =>
  Query.make(
    name,
    (sql) =>
      Effect.map(
        Effect.forEach(texts, (text) => sql.unsafe(text)),
        (answers) => answers.at(-1) ?? []
      ),
    options
  )

const rows = (name: string) =>
  Query.stream({ name, schema: Schema.Struct({ n: Schema.Finite }), statement: (sql) => sql`select n` })

const again = (times: number) =>
  RetryPolicy.make({ on: ["Deadlock", "ConnectionLost", "Rejected"], schedule: Schedule.recurs(times) })

const made = (options: TestQueryPool.Options) => Effect.runPromiseExit(TestQueryPool.make({}, options))

const defectOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const die = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isDieReason) : undefined
  return die === undefined ? `no defect: ${String(exit)}` : String(die.defect)
}

describe("a scripted pool", () => {
  it.effect("gives a query the rows that stand under its name, decoded, and tells what was sent", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* userById(7), ann)
      const { ledger } = yield* TestQueryPool.TestQueryPool
      assert.deepStrictEqual(ledger.statements, [
        { query: "user by id", sql: "select * from users where id = $1", parameters: [7], session: 1, nth: 1 }
      ])
      assert.deepStrictEqual([ledger.opened, ledger.closed, ledger.inUse], [["user by id"], ["user by id"], 0])
    }).pipe(Effect.provide(TestQueryPool.layer({ "user by id": [ann] })))
  )

  it.effect("answers with what a function makes of the statement, with effects, streams, and one after the other", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make({
        computed: ({ nth, parameters, sql }) => [{ sql, parameters, nth }],
        late: Effect.delay(Effect.succeed([{ n: 1 }]), "1 second"),
        streamed: Stream.make({ n: 1 }, { n: 2 }),
        "in order": TestQueryPool.inOrder([{ n: 1 }], ({ nth }) => [{ n: nth * 10 }], [])
      })
      const twice = Query.make("computed", (sql) => Effect.all([sql`a ${1}`, sql`b ${2}`]))
      assert.deepStrictEqual(yield* provide(twice), [
        [{ sql: "a $1", parameters: [1], nth: 1 }],
        [{ sql: "b $1", parameters: [2], nth: 2 }]
      ])
      const late = yield* Effect.forkChild(provide(sends("late", ["select"])))
      yield* TestTime.advance(999)
      assert.isUndefined(late.pollUnsafe())
      yield* TestTime.advance(1)
      assert.deepStrictEqual(yield* Fiber.join(late), [{ n: 1 }])
      assert.deepStrictEqual(yield* provide(sends("streamed", ["select"])), [{ n: 1 }, { n: 2 }])
      assert.deepStrictEqual(yield* provide(sends("in order", ["a", "b"])), [{ n: 20 }])
      assert.deepStrictEqual(yield* provide(sends("in order", ["c"])), [])
      const exit = yield* Effect.exit(provide(sends("in order", ["d"])))
      assert.include(defectOf(exit), `Query "in order" has 3 answers in order, and this is one statement more: d`)
    })
  )

  it.effect("streams what a script has, and fails in the middle where that does", () =>
    Effect.gen(function* () {
      const lost = new QueryError.ConnectionLost({ message: "cut" })
      const { ledger, provide } = yield* TestQueryPool.make({
        rows: [{ n: 1 }, { n: 2 }, { n: 3 }],
        breaks: Stream.concat(Stream.make({ n: 1 }, { n: 2 }), Stream.fail(lost))
      })
      const collected = yield* provide(Stream.runCollect(rows("rows")))
      assert.deepStrictEqual(collected, [{ n: 1 }, { n: 2 }, { n: 3 }])
      const seen: Array<number> = []
      const failure = yield* provide(
        Effect.flip(Stream.runForEach(rows("breaks"), ({ n }) => Effect.sync(() => seen.push(n))))
      )
      assert.deepStrictEqual(seen, [1, 2])
      assert.deepInclude({ ...failure }, { query: "breaks", connection: "gone", outcome: "unknown" })
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect("dies of a query that is not scripted, lists those that are, and lets nobody try it again", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({ "user by id": [], orders: [] })
      const query = sends("user by ID", ["select 1"], { mode: "readOnly", retry: again(3) })
      const exit = yield* Effect.exit(provide(Effect.option(query)))
      assert.strictEqual(
        defectOf(exit),
        [
          `Error: Query "user by ID" is not scripted, and sent: select 1`,
          `  scripted are: "user by id", "orders"`,
          `  did you mean "user by id"?`,
          `  give it an answer: TestQueryPool.layer({ "user by ID": [] })`
        ].join("\n")
      )
      assert.deepStrictEqual(ledger.opened, ["user by ID"])
      const none = yield* TestQueryPool.make()
      assert.include(defectOf(yield* Effect.exit(none.provide(query))), "scripted is no query")
      assert.strictEqual(yield* none.provide(Query.make("sends nothing", () => Effect.succeed(1))), 1)
      // A name that all objects have is none that the script has.
      assert.include(defectOf(yield* Effect.exit(provide(sends("toString", ["x"])))), "is not scripted")
    })
  )

  it.effect("answers the parts of a partition by the name of the whole", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make({ accounts: [{ n: 1 }], "accounts [plan]": [{ n: 0 }] })
      assert.deepStrictEqual(yield* provide(sends("accounts [2/3]", ["x"])), [{ n: 1 }])
      assert.deepStrictEqual(yield* provide(sends("accounts [plan]", ["x"])), [{ n: 0 }])
    })
  )

  it.effect("answers statements outside of queries, and queries in their transaction, on one session", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const { ledger } = yield* TestQueryPool.TestQueryPool
      assert.deepStrictEqual(yield* sql`select 1`, [{ n: 1 }])
      const both = Effect.all([sql`insert`, userById(7)])
      assert.deepStrictEqual(yield* sql.withTransaction(both), [[{ n: 2 }], ann])
      assert.deepStrictEqual(
        ledger.statements.map(({ query, session }) => [query, session]),
        [
          ["statement", 1],
          ["transaction", 2],
          ["user by id", 2]
        ]
      )
      assert.deepStrictEqual(ledger.transactions, [{ query: "transaction", end: "committed" }])
      assert.deepStrictEqual(ledger.closed, ["statement", "transaction"])
      assert.deepStrictEqual(yield* Stream.runCollect(sql`select 1`.stream), [{ n: 1 }])
      assert.strictEqual(ledger.inUse, 0)
    }).pipe(
      Effect.provide(TestQueryPool.layer({ statement: [{ n: 1 }], transaction: [{ n: 2 }], "user by id": [ann] }))
    )
  )

  it.effect("has no state that another pool of the same script sees", () =>
    Effect.gen(function* () {
      const script = { a: TestQueryPool.inOrder([{ n: 1 }], [{ n: 2 }]) }
      for (const _ of [1, 2]) {
        const { ledger, provide } = yield* TestQueryPool.make(script)
        assert.deepStrictEqual(yield* provide(sends("a", ["x", "y"])), [{ n: 2 }])
        assert.lengthOf(ledger.statements, 2)
      }
      const here = yield* TestQueryPool.make(script)
      const there = yield* TestQueryPool.make(script)
      const outer = Query.make("outer", () => there.provide(sends("a", ["x"])))
      yield* here.provide(outer)
      assert.deepStrictEqual([here.ledger.statements, there.ledger.opened], [[], ["a"]])
    })
  )

  it.effect("forgets what was when it is told to", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(() => [])
      yield* provide(QueryPool.all([sends("a", ["x"]), sends("b", ["y"])]))
      ledger.clear()
      assert.deepStrictEqual([ledger.opened, ledger.closed, ledger.statements, ledger.mostInUse], [[], [], [], 0])
      yield* provide(sends("c", ["z"], { mode: "transaction" }))
      assert.deepStrictEqual([ledger.opened, ledger.statements[0]?.session], [["c"], 3])
    })
  )

  it("refuses bounds that cannot be", async () => {
    assert.include(defectOf(await made({ maxConnections: 0 })), "Expected `maxConnections` to be an integer from 1")
    assert.include(defectOf(await made({ queueLimit: -1 })), "Expected `queueLimit` to be an integer from 0")
  })
})

describe("a failure that is scripted", () => {
  it.effect("reaches the body as the client's error, and its caller as a reason", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make({
        insert: Faults.sqlState("23505", { constraint: "users_email_key", detail: "Key (email) exists." })
      })
      const seen = yield* provide(
        Query.make("insert", (sql) =>
          Effect.match(sql`insert`, {
            onFailure: ({ reason }) => (reason._tag === "UniqueViolation" ? reason.constraint : reason._tag),
            onSuccess: () => "nothing"
          })
        )
      )
      assert.strictEqual(seen, "users_email_key")
      const error = yield* provide(Effect.flip(sends("insert", ["insert into users"])))
      assert.deepInclude({ ...error }, { query: "insert", connection: "usable", outcome: "notApplied" })
      assert.deepInclude(
        { ...error.reason },
        { _tag: "Rejected", sqlState: "23505", condition: "unique_violation", constraint: "users_email_key" }
      )
    })
  )

  it.effect("may be any reason", () =>
    Effect.gen(function* () {
      const reasons: ReadonlyArray<readonly [QueryError.QueryErrorReason, QueryError.QueryError["connection"]]> = [
        [Faults.sqlState("40P01"), "usable"],
        [Faults.sqlState("40001"), "usable"],
        [Faults.sqlState("55P03"), "usable"],
        [Faults.sqlState("57014"), "usable"],
        [Faults.sqlState("53200"), "usable"],
        [Faults.sqlState("53300"), "gone"],
        [Faults.sqlState("57P03"), "gone"],
        [Faults.sqlState("57P01"), "gone"],
        [Faults.sqlState("28P01"), "gone"],
        [Faults.sqlState("22012", { message: "division by zero", hint: "do not" }), "usable"],
        [new QueryError.Rejected({ message: "no parameter like that" }), "usable"],
        [new QueryError.ConnectionLost({ message: "cut" }), "gone"],
        [new QueryError.ConnectFailed({ message: "refused" }), "gone"],
        [new QueryError.QueueFull({ limit: 3 }), "usable"],
        [new QueryError.QueueTimeout({ afterMillis: 3 }), "usable"],
        [new QueryError.SessionBusy(), "usable"],
        [new QueryError.DecodeFailed({ message: "no number" }), "usable"],
        [new QueryError.MessageTooLarge({ message: "17 MB" }), "usable"],
        [new QueryError.SnapshotLost({ message: "gone" }), "usable"],
        [new QueryError.NoRows(), "usable"]
      ]
      for (const [reason, connection] of reasons) {
        for (const mode of ["autocommit", "transaction"] as const) {
          const { ledger, provide } = yield* TestQueryPool.make({ query: reason })
          const error = yield* provide(Effect.flip(sends("query", ["select 1"], { mode })))
          assert.instanceOf(error, QueryError.QueryError)
          const known = Object.entries(reason).filter(([, value]) => value !== undefined)
          assert.deepInclude({ ...error.reason }, Object.fromEntries(known), reason._tag)
          assert.strictEqual(error.connection, connection, reason._tag)
          const isOpening = ["QueueFull", "QueueTimeout", "ConnectFailed"].includes(reason._tag)
          if (isOpening) assert.deepStrictEqual(ledger.opened, [])
          assert.strictEqual(ledger.inUse, 0)
        }
      }
      assert.throws(() => Faults.sqlState("40p01"), "Expected a SQLSTATE of five digits and capital letters")
    })
  )

  it.effect("leaves of the query's work what it leaves on PostgreSQL, and by that it is tried again or not", () =>
    Effect.gen(function* () {
      const deadlock = Faults.sqlState("40P01")
      const lost = new QueryError.ConnectionLost({ message: "cut" })
      const cases = [
        { answers: [deadlock], mode: "autocommit", outcome: "notApplied" },
        { answers: [[], deadlock], mode: "autocommit", outcome: "partial" },
        { answers: [[], deadlock], mode: "transaction", outcome: "notApplied" },
        { answers: [[], lost], mode: "transaction", outcome: "notApplied" },
        { answers: [lost], mode: "autocommit", outcome: "unknown" },
        { answers: [[], deadlock], mode: "readOnly", outcome: "partial" }
      ] as const
      for (const { answers, mode, outcome } of cases) {
        const texts = answers.map((_, index) => `statement ${index}`)
        const { ledger, provide } = yield* TestQueryPool.make({
          query: TestQueryPool.inOrder(...answers, ...texts.map(() => []))
        })
        const exit = yield* Effect.exit(provide(sends("query", texts, { mode, retry: again(1) })))
        const isTried = outcome === "notApplied" || mode === "readOnly"
        assert.lengthOf(ledger.opened, isTried ? 2 : 1, `${mode} ${outcome}`)
        assert.strictEqual(Exit.isSuccess(exit), isTried)
        const first = yield* TestQueryPool.make({ query: TestQueryPool.inOrder(...answers) })
        const error = yield* first.provide(Effect.flip(sends("query", texts, { mode })))
        assert.deepInclude({ ...error }, { outcome, connection: answers.includes(lost as never) ? "gone" : "usable" })
      }
    })
  )

  it.effect("of an opening is one attempt, and those in order go on behind it", () =>
    Effect.gen(function* () {
      const refused = new QueryError.ConnectFailed({ message: "refused" })
      const { ledger, provide } = yield* TestQueryPool.make({
        query: TestQueryPool.inOrder(refused, Faults.sqlState("53300"), [{ n: 1 }])
      })
      const retry = RetryPolicy.make({ on: ["ConnectFailed", "TooBusy"], schedule: Schedule.recurs(5) })
      assert.deepStrictEqual(yield* provide(sends("query", ["x"], { retry })), [{ n: 1 }])
      assert.deepStrictEqual(ledger.opened, ["query"])
    })
  )
})

describe("a scripted session", () => {
  it.effect("commits and rolls back, and a transaction in which a statement has failed is aborted", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(({ sql }) =>
        sql === "fails" ? Faults.sqlState("23505") : [{ n: 1 }]
      )
      const transaction = { mode: "transaction" } as const
      yield* provide(sends("good", ["a", "b"], transaction))
      yield* Effect.exit(provide(sends("bad", ["a", "fails"], transaction)))
      yield* Effect.exit(provide(Query.make("dies", () => Effect.die("a fault"), transaction)))
      // An error that is handled does not save the transaction.
      const next = yield* provide(
        Effect.flip(
          Query.make("goes on", (sql) => Effect.andThen(Effect.ignore(sql.unsafe("fails")), sql`next`), transaction)
        )
      )
      assert.deepInclude({ ...next.reason }, { sqlState: "25P02" })
      const commit = yield* provide(
        Effect.flip(Query.make("commits", (sql) => Effect.ignore(sql.unsafe("fails")), transaction))
      )
      assert.include(commit.message, "The transaction was rolled back, not committed: one of its statements had failed")
      assert.deepInclude({ ...commit }, { outcome: "notApplied" })
      // A savepoint does.
      const saved = Query.make(
        "saves",
        (sql) => Effect.andThen(Effect.ignore(sql.withTransaction(sql.unsafe("fails"))), sql`next`),
        transaction
      )
      assert.deepStrictEqual(yield* provide(saved), [{ n: 1 }])
      assert.deepStrictEqual(
        ledger.transactions.map(({ end, query }) => `${query} ${end}`),
        [
          "good committed",
          "bad rolledBack",
          "dies rolledBack",
          "goes on rolledBack",
          "commits rolledBack",
          "saves committed"
        ]
      )
    })
  )

  it.effect("refuses a statement while a stream is open, after a loss of its connection, and after its end", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(({ sql }) =>
        sql === "cut" ? new QueryError.ConnectionLost({ message: "cut" }) : [{ n: 1 }]
      )
      const perRow = Query.make("per row", (sql) =>
        Stream.runDrain(Stream.mapEffect(sql`rows`.stream, () => sql`a row`))
      )
      assert.strictEqual((yield* provide(Effect.flip(perRow))).reason._tag, "SessionBusy")
      const goesOn = Query.make("goes on", (sql) => Effect.andThen(Effect.ignore(sql.unsafe("cut")), sql`next`))
      assert.strictEqual((yield* provide(Effect.flip(goesOn))).reason._tag, "ConnectionLost")
      const late = yield* Deferred.make<void>()
      const leaks = Query.make("leaks", (sql) => Effect.forkDetach(Effect.andThen(Deferred.await(late), sql`late`)))
      const fiber = yield* provide(leaks)
      yield* Deferred.succeed(late, undefined)
      assert.include(
        defectOf(yield* Fiber.await(fiber)),
        `The session of query "leaks" was used after that query had ended`
      )
      assert.deepStrictEqual(
        ledger.statements.map(({ sql }) => sql),
        ["rows", "cut"]
      )
    })
  )

  it.effect("is one of so many: others wait, for no longer than they may, and are refused where too many do", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(
        { slow: Effect.delay(Effect.succeed([]), 10) },
        { maxConnections: 2, queueLimit: 3 }
      )
      const slow = sends("slow", ["x"])
      const all = yield* Effect.forkChild(
        provide(
          QueryPool.all(
            Array.from({ length: 6 }, () => slow),
            { concurrency: 6, mode: "outcome" }
          )
        )
      )
      yield* TestTime.advance(1)
      assert.strictEqual(ledger.inUse, 2)
      yield* TestTime.advance(100)
      const outcomes = yield* Fiber.join(all)
      assert.deepStrictEqual(
        outcomes.map((outcome) => (outcome._tag === "Failed" ? outcome.error.reason._tag : outcome._tag)),
        ["Succeeded", "Succeeded", "Succeeded", "Succeeded", "Succeeded", "QueueFull"]
      )
      assert.strictEqual(ledger.mostInUse, 2)
      const late = yield* Effect.forkChild(
        provide(QueryPool.all([slow, slow, slow], { concurrency: 3, queueTimeout: 5, mode: "outcome" }))
      )
      yield* TestTime.advance(20)
      const tags = (yield* Fiber.join(late)).map((one) => (one._tag === "Failed" ? one.error.reason._tag : one._tag))
      assert.deepStrictEqual(tags, ["Succeeded", "Succeeded", "QueueTimeout"])
    })
  )

  it.effect("is stopped in the middle of a statement, and a run tells how", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({ hangs: Effect.never, fails: Faults.sqlState("22012") })
      const events: Array<QueryEvent.QueryEvent> = []
      const run = QueryPool.all([sends("hangs", ["x"]), Effect.delay(sends("fails", ["y"]), 5)], {
        onEvent: (event) => events.push(event)
      })
      const fiber = yield* Effect.forkChild(provide(Effect.exit(run)))
      yield* TestTime.advance(5)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        events.flatMap((event) => (event._tag === "CancelEnded" ? [[event.name, event.how]] : [])),
        [["hangs", "idle"]]
      )
      const slow = sends("hangs", ["x"], { timeout: 50 })
      const timed = yield* Effect.forkChild(provide(Effect.flip(slow)))
      yield* TestTime.advance(50)
      const error = yield* Fiber.join(timed)
      assert.deepInclude({ ...error }, { connection: "gone", outcome: "notApplied" })
      assert.strictEqual(error.reason._tag, "TimedOut")
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect("loses the snapshot that a test takes away", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(() => [{ n: 1 }])
      const late = Effect.delay(sends("late", ["x"]), 10)
      const run = QueryPool.all([sends("early", ["x"]), late], { snapshot: true, mode: "outcome" })
      const fiber = yield* Effect.forkChild(provide(run))
      yield* TestTime.advance(1)
      ledger.loseSnapshot()
      yield* TestTime.advance(10)
      const [early, second] = yield* Fiber.join(fiber)
      assert.strictEqual(early._tag, "Succeeded")
      assert.strictEqual(second._tag === "Failed" ? second.error.reason._tag : second._tag, "SnapshotLost")
      assert.deepStrictEqual([ledger.joined, ledger.snapshots], [["early"], ["taken", "released"]])
    })
  )
})

describe("everything above a session", () => {
  it.effect("is the real thing: a report tells of slots, attempts and rows", () =>
    Effect.gen(function* () {
      const report = yield* Effect.forkChild(
        QueryPool.report(
          [
            sends("rows", ["a"]),
            sends("tried twice", ["a"], { mode: "readOnly", retry: again(1) }),
            sends("fails", ["a"])
          ],
          { concurrency: 2 }
        )
      )
      yield* TestTime.advance(100)
      const { queries } = yield* Fiber.join(report)
      assert.deepStrictEqual(
        queries.map(({ attempts, name, outcome, rows }) => [name, outcome, attempts, rows]),
        [
          ["rows", "Succeeded", 1, 2],
          ["tried twice", "Succeeded", 2, 1],
          ["fails", "Failed", 1, 0]
        ]
      )
      const { ledger } = yield* TestQueryPool.TestQueryPool
      assert.strictEqual(ledger.mostInUse, 2)
    }).pipe(
      Effect.provide(
        TestQueryPool.layer({
          rows: Effect.delay(Effect.succeed([{ n: 1 }, { n: 2 }]), 20),
          "tried twice": TestQueryPool.inOrder(Faults.sqlState("40P01"), [{ n: 1 }]),
          fails: Faults.sqlState("22012")
        })
      )
    )
  )

  it.effect("finds the client that repositories capture when their layer is built", () =>
    Effect.gen(function* () {
      const repository = yield* Effect.map(SqlClient, (sql) => ({ count: sql<{ n: number }>`select count(*)` }))
      const query = Query.make("counts", () => repository.count)
      assert.deepStrictEqual(yield* query, [{ n: 3 }])
      const found = yield* Effect.serviceOption(TestQueryPool.TestQueryPool)
      assert.deepStrictEqual(Option.getOrThrow(found).ledger.opened, ["counts"])
    }).pipe(Effect.provide(Layer.fresh(TestQueryPool.layer({ counts: [{ n: 3 }] }))))
  )
})
