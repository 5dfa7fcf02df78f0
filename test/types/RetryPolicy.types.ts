import { Effect, Schedule, Schema } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { RetryPolicy } from "querypool"
import type { QueryError } from "querypool"
import type { Equals, Fits } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

class NoSuchUser extends Schema.TaggedError<NoSuchUser>()("NoSuchUser", { id: Schema.Finite }) {}
class Stale extends Schema.TaggedError<Stale>()("Stale", {}) {}

type Failure = QueryError.QueryError
type Policy<E> = RetryPolicy.RetryPolicy<E>

/** As Query.make takes a body and a policy. */
declare const query: <A, E, R>(
  name: string,
  body: (sql: SqlClient) => Effect.Effect<A, E, R>,
  options?: { readonly retry?: Policy<RetryPolicy.Known<Exclude<E, SqlError> | Failure>> | undefined }
) => Effect.Effect<A, Exclude<E, SqlError> | Failure, R>

const schedule = Schedule.recurs(3)
const lookUp = (sql: SqlClient) =>
  Effect.flatMap(sql`select 1`, (rows) => (rows.length === 0 ? Effect.fail(new NoSuchUser({ id: 1 })) : Effect.void))

// ---- tags -------------------------------------------------------------------------------------------------------------

const named = RetryPolicy.make({ on: ["Deadlock", "NoSuchUser"], schedule })
expect<Equals<typeof named, RetryPolicy.RetryPolicy<unknown, "Deadlock" | "NoSuchUser">>>()
expect<Fits<typeof named, Policy<Failure | NoSuchUser>>>()
expect<Fits<typeof named, Policy<Failure | NoSuchUser | Stale>>>()
expect<Fits<typeof named, Policy<never>>>()
// @ts-expect-error -- the query cannot fail with NoSuchUser
expect<Fits<typeof named, Policy<Failure>>>()
// @ts-expect-error -- the query cannot fail with NoSuchUser
expect<Fits<typeof named, Policy<Failure | Stale>>>()

const reasons = RetryPolicy.make({ on: ["Deadlock", "LockTimeout"] })
expect<Fits<typeof reasons, Policy<Failure>>>()
expect<Fits<typeof reasons, Policy<Failure | Stale>>>()

const misspelt = RetryPolicy.make({ on: ["Deadlok"] })
expect<Fits<typeof misspelt, Policy<never>>>()
// @ts-expect-error -- no such tag
expect<Fits<typeof misspelt, Policy<Failure | NoSuchUser>>>()

const whole = RetryPolicy.make({ on: ["QueryError"] })
// @ts-expect-error -- a reason of it is named, not QueryError as a whole
expect<Fits<typeof whole, Policy<Failure>>>()

expect<Equals<RetryPolicy.TagOf<never>, string>>()
expect<Equals<RetryPolicy.TagOf<Failure>, QueryError.QueryErrorReason["_tag"]>>()
expect<Equals<RetryPolicy.TagOf<Failure | Stale | Error>, QueryError.QueryErrorReason["_tag"] | "Stale">>()

// ---- predicates -------------------------------------------------------------------------------------------------------

const ofReason = RetryPolicy.make({ on: (error: Failure) => error.reason._tag === "Rejected" })
expect<Equals<typeof ofReason, RetryPolicy.RetryPolicy<Failure, never>>>()
expect<Fits<typeof ofReason, Policy<Failure>>>()
expect<Fits<typeof ofReason, Policy<never>>>()
// @ts-expect-error -- the predicate was not told of Stale
expect<Fits<typeof ofReason, Policy<Failure | Stale>>>()

const ofBoth = RetryPolicy.make({ on: (error: Failure | Stale) => error._tag === "Stale", schedule })
expect<Fits<typeof ofBoth, Policy<Failure>>>()
expect<Fits<typeof ofBoth, Policy<Failure | Stale>>>()

// ---- schedules --------------------------------------------------------------------------------------------------------

declare const asking: Schedule.Schedule<number, Failure>
const asked = RetryPolicy.make({ on: ["Deadlock"], schedule: asking })
expect<Equals<typeof asked, RetryPolicy.RetryPolicy<Failure, "Deadlock">>>()
expect<Fits<typeof asked, Policy<Failure>>>()
// @ts-expect-error -- the schedule was not told of Stale
expect<Fits<typeof asked, Policy<Failure | Stale>>>()

declare const failing: Schedule.Schedule<number, unknown, Stale>
// @ts-expect-error -- a schedule that fails has nobody to fail to
accept(RetryPolicy.make({ on: ["Deadlock"], schedule: failing }))
declare const needing: Schedule.Schedule<number, unknown, never, SqlClient>
// @ts-expect-error -- nobody gives a schedule its services
accept(RetryPolicy.make({ on: ["Deadlock"], schedule: needing }))
// @ts-expect-error -- a policy says what it is for
accept(RetryPolicy.make({ schedule }))
// @ts-expect-error -- a single tag stands in a list too
accept(RetryPolicy.make({ on: "Deadlock" }))

// ---- presets ----------------------------------------------------------------------------------------------------------

for (const preset of [RetryPolicy.none, RetryPolicy.connect, RetryPolicy.transient, RetryPolicy.serializable]) {
  expect<Equals<typeof preset, RetryPolicy.RetryPolicy<unknown, never>>>()
  expect<Fits<typeof preset, Policy<Failure>>>()
  expect<Fits<typeof preset, Policy<Failure | Stale>>>()
  expect<Fits<typeof preset, Policy<unknown>>>()
  expect<Fits<typeof preset, Policy<never>>>()
  const ofOwn = query("q", (sql) => lookUp(sql), { retry: preset })
  expect<Equals<typeof ofOwn, Effect.Effect<void, NoSuchUser | Failure>>>()
  const ofNone = query("q", () => Effect.void, { retry: preset })
  expect<Equals<typeof ofNone, Effect.Effect<void, Failure>>>()
}

// ---- erased -----------------------------------------------------------------------------------------------------------

expect<Fits<Policy<Failure>, Policy<never>>>()
expect<Fits<Policy<Failure | Stale>, Policy<never>>>()
expect<Fits<Policy<unknown>, Policy<never>>>()
accept(<E>(policy: Policy<Exclude<E, SqlError> | Failure>): Policy<never> => policy)
accept(<E>(policy: Policy<RetryPolicy.Known<Exclude<E, SqlError> | Failure>>): Policy<never> => policy)
// @ts-expect-error -- what was forgotten is not found again
expect<Fits<Policy<never>, Policy<Failure>>>()

// ---- where it is given to a query -------------------------------------------------------------------------------------

const inline = query("q", lookUp, { retry: RetryPolicy.make({ on: ["Deadlock", "NoSuchUser"], schedule }) })
expect<Equals<typeof inline, Effect.Effect<void, NoSuchUser | Failure>>>()

const written = query("q", (sql) => Effect.andThen(sql`select 1`, Effect.fail(new Stale())), {
  retry: RetryPolicy.make({ on: ["Stale"] })
})
expect<Equals<typeof written, Effect.Effect<never, Stale | Failure>>>()

const generated = query(
  "q",
  (sql) =>
    Effect.gen(function* () {
      const rows = yield* sql`select 1`
      if (rows.length === 0) return yield* new NoSuchUser({ id: 1 })
      return rows.length === 1 ? rows.length : yield* new Stale()
    }),
  { retry: RetryPolicy.make({ on: ["Deadlock", "NoSuchUser"], schedule }) }
)
expect<Equals<typeof generated, Effect.Effect<number, NoSuchUser | Stale | Failure>>>()

const plain = query("q", (sql) => sql`select 1`, { retry: RetryPolicy.make({ on: ["Deadlock"], schedule }) })
expect<Equals<Effect.Error<typeof plain>, Failure>>()

const ready = query("q", (sql) => lookUp(sql), { retry: named })
expect<Equals<typeof ready, Effect.Effect<void, NoSuchUser | Failure>>>()

// What a policy knows beside the query's errors does not become the query's.
const wider = query("q", (sql) => Effect.asVoid(sql`select 1`), { retry: ofBoth })
expect<Equals<typeof wider, Effect.Effect<void, Failure>>>()
const widerStill = query("q", () => Effect.void, { retry: ofBoth })
expect<Equals<typeof widerStill, Effect.Effect<void, Failure>>>()

const told = query("q", lookUp, {
  retry: RetryPolicy.make({
    on: (error) => {
      expect<Equals<typeof error, NoSuchUser | Failure>>()
      return error._tag === "NoSuchUser" ? error.id === 1 : RetryPolicy.transient.matches(error)
    }
  })
})
expect<Equals<typeof told, Effect.Effect<void, NoSuchUser | Failure>>>()

const toldReason = query("q", (sql) => sql`select 1`, {
  retry: RetryPolicy.make({ on: ({ reason }) => reason._tag === "Rejected" && reason.sqlState === "23505" })
})
expect<Equals<Effect.Error<typeof toldReason>, Failure>>()

const annotated = query("q", (sql) => lookUp(sql), {
  retry: RetryPolicy.make({ on: (error: NoSuchUser | Failure) => error._tag === "NoSuchUser" })
})
expect<Equals<typeof annotated, Effect.Effect<void, NoSuchUser | Failure>>>()

// @ts-expect-error -- no such tag
accept(query("q", lookUp, { retry: RetryPolicy.make({ on: ["Deadlok"], schedule }) }))
// @ts-expect-error -- no such tag
accept(query("q", (sql) => lookUp(sql), { retry: RetryPolicy.make({ on: ["NoSuchUsr"] }) }))
// @ts-expect-error -- no such tag
accept(query("q", (sql) => sql`select 1`, { retry: misspelt }))
// @ts-expect-error -- the query cannot fail with Stale
accept(query("q", (sql) => lookUp(sql), { retry: RetryPolicy.make({ on: ["Deadlock", "Stale"], schedule }) }))
// @ts-expect-error -- the query has no errors of its own
accept(query("q", () => Effect.void, { retry: RetryPolicy.make({ on: ["NoSuchUser"] }) }))
// @ts-expect-error -- the query has no errors of its own
accept(query("q", (sql) => sql`select 1`, { retry: named }))
// @ts-expect-error -- SqlErrors become QueryErrors
accept(query("q", (sql) => sql`select 1`, { retry: RetryPolicy.make({ on: ["SqlError"] }) }))
// Errors are effects too, which the checker of effects takes the refused ones for.
// @effect-diagnostics missingEffectError:off
// @ts-expect-error -- the predicate was not told of NoSuchUser
accept(query("q", lookUp, { retry: ofReason }))
// @ts-expect-error -- the predicate was not told of NoSuchUser
accept(query("q", (sql) => lookUp(sql), { retry: ofReason }))
// @ts-expect-error -- the predicate was not told of NoSuchUser
accept(query("q", (sql) => lookUp(sql), { retry: RetryPolicy.make({ on: (error: Failure) => error.attempt < 2 }) }))
// @ts-expect-error -- before the body's errors are known, the error of a predicate is a QueryError: it has to be said
accept(query("q", (sql) => lookUp(sql), { retry: RetryPolicy.make({ on: ({ _tag }) => _tag === "NoSuchUser" }) }))
