/** The rows that a run tells of are those that the server has sent, however they are read. */
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { Partition, Query, QueryPool } from "querypool"
import type { QueryEvent } from "querypool"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const Row = Schema.Struct({ n: Schema.Unknown })

/** Sends rows of 1 kB, and after so many of them waits for a lock. */
const stuckAfter = (rows: number) =>
  `select n, repeat('x', 1000) || case when n = ${rows} then pg_advisory_lock_shared(7)::text else '' end as text
   from generate_series(1, 1000) as n`

const statement = () => ({ sql: stuckAfter(900), parameters: [] })

/** Waits until a query has told of nearly all rows that come before the lock: the server sends them by 8 kB. */
const hasCome = (events: ReadonlyArray<QueryEvent.QueryEvent>, isMeant: (name: string) => boolean) =>
  waitUntil(
    "the rows before the lock are told of",
    Effect.sync(() =>
      events.some(
        (event) => event._tag === "Progressed" && isMeant(event.name) && event.rows > 880 && event.rows <= 900
      )
    )
  )

const rowsAtEnd = (events: ReadonlyArray<QueryEvent.QueryEvent>) =>
  events.flatMap((event) => (event._tag === "Ended" && event.name !== "cut [plan]" ? [event.rows] : []))

layer(Pg.layer("Progressed"), { excludeTestServices: true })("a run with `progressEvery`", (it) => {
  const members = {
    "a query of all rows": () => Query.findAll({ name: "all", schema: Row, statement }),
    "a query in the middle of a transaction": () =>
      Query.make("body", (sql) => sql.unsafe(stuckAfter(900)), { mode: "transaction" }),
    "a stream of rows": () => Stream.runDrain(Query.stream({ name: "stream", schema: Row, statement }))
  }
  for (const [name, member] of Object.entries(members)) {
    for (const results of ["decoded", "text"] as const) {
      it.effect(`tells of the rows of ${name} as they arrive, with ${results} results`, () =>
        Effect.gen(function* () {
          const { observer } = yield* Pg.Pg
          const events: Array<QueryEvent.QueryEvent> = []
          const options = {
            onEvent: (event: QueryEvent.QueryEvent) => void events.push(event),
            progressEvery: "5 millis"
          } as const
          yield* observer.hold(7)
          const fiber = yield* Effect.forkChild(QueryPool.report([member()], options))
          yield* hasCome(events, () => true)
          yield* observer.release(7)
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(rowsAtEnd(events), [1000])
        }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, results })))
      )
    }
  }

  it.effect("tells of each part of a query", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const events: Array<QueryEvent.QueryEvent> = []
      const options = {
        onEvent: (event: QueryEvent.QueryEvent) => void events.push(event),
        progressEvery: "5 millis"
      } as const
      const cut = Partition.byRange({ name: "cut", schema: Row, statement }, { column: "n", bounds: [901] })
      yield* observer.hold(7)
      const fiber = yield* Effect.forkChild(Partition.findAll(cut, options))
      yield* hasCome(events, (name) => name === "cut [1/2]")
      yield* observer.release(7)
      assert.lengthOf(yield* Fiber.join(fiber), 1000)
      assert.sameMembers([...rowsAtEnd(events)], [900, 100])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 2 })))
  )
})
