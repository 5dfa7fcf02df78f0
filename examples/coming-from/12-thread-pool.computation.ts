// What both sides of the thread know of it.
import { Schema } from "effect"
import { Background } from "querypool/task"

export const primesBelow = Background.computation("primes below", { payload: Schema.Int, success: Schema.Int })
