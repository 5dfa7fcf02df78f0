/** What is offloaded: what both sides know. */
import { Schema } from "effect"
import { Transferable } from "effect/workers"
import { Background } from "querypool/task"

export const crunched = Background.computation("crunched", {
  payload: Schema.Struct({ seed: Schema.Finite, steps: Schema.Finite }),
  success: Schema.Finite
})

export const stamped = Background.computation("stamped", {
  payload: Transferable.Uint8Array,
  success: Transferable.Uint8Array
})
