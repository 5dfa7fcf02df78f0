import { Effect } from "effect"
import type { QueryError } from "querypool"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

type Failure = QueryError.QueryError
type Reason = QueryError.QueryErrorReason

declare const failing: Effect.Effect<number, Failure>

// ---- one reason -------------------------------------------------------------------------------------------------------

const orZero = Effect.catchReason(failing, "QueryError", "NoRows", (reason) => {
  expect<Equals<typeof reason, QueryError.NoRows>>()
  return Effect.succeed("none" as const)
})
expect<Equals<Effect.Success<typeof orZero>, number | "none">>()

accept(
  Effect.catchReason(failing, "QueryError", "Rejected", (reason, error) => {
    expect<Equals<typeof reason.sqlState, string | undefined>>()
    expect<Equals<typeof reason.position, QueryError.SqlPosition | undefined>>()
    expect<Equals<typeof error.outcome, "notApplied" | "partial" | "unknown">>()
    expect<Equals<typeof error.hint, string | undefined>>()
    return Effect.void
  })
)
accept(
  Effect.catchReasons(failing, "QueryError", {
    QueueFull: ({ limit }) => Effect.succeed(limit),
    TimedOut: ({ afterMillis, limit }) => Effect.succeed(`${limit} ${afterMillis}`),
    Deadlock: ({ sqlState }) => Effect.succeed(sqlState.length)
  })
)

// @ts-expect-error -- no such reason
accept(Effect.catchReason(failing, "QueryError", "OutOfLuck", () => Effect.void))

// ---- all reasons ------------------------------------------------------------------------------------------------------

expect<
  Equals<
    Reason["_tag"],
    | "Rejected"
    | "ConnectFailed"
    | "ConnectionLost"
    | "TooBusy"
    | "Deadlock"
    | "SerializationFailure"
    | "LockTimeout"
    | "QueueFull"
    | "QueueTimeout"
    | "TimedOut"
    | "CancelledByServer"
    | "SessionBusy"
    | "NoRows"
    | "TooManyRows"
    | "DecodeFailed"
    | "MessageTooLarge"
    | "SnapshotLost"
  >
>()

declare const reason: Reason
if ("sqlState" in reason) {
  expect<Equals<typeof reason.detail, string | undefined>>()
  expect<Equals<typeof reason.condition, string | undefined>>()
}
// @ts-expect-error -- not every reason has a SQLSTATE
accept(reason.sqlState)
