/** What the tests of workers have computed: the side that both know. */
import { Schema } from "effect"
import { Transferable } from "effect/workers"
import { computation } from "../../../src/task/BackgroundComputation.ts"

export class TooBig extends Schema.TaggedError<TooBig>()("TooBig", { most: Schema.BigInt }) {}

export const double = computation("double", {
  payload: Schema.Struct({ value: Schema.BigInt, at: Schema.Date }),
  success: Schema.BigInt,
  error: TooBig
})
export const ends = computation("ends", {
  payload: Schema.Literals(["dies", "interrupts itself", "exits", "throws later", "does not agree"]),
  success: Schema.Finite
})
/** Counts in shared memory, without ever letting its loop turn. */
export const spins = computation("spins", { payload: Schema.Void })
export const threadId = computation("threadId", { payload: Schema.Finite, success: Schema.Finite })
export const turned = computation("turned", { payload: Transferable.Uint8Array, success: Transferable.Uint8Array })
export const unknown = computation("unknown", { payload: Schema.Void })
