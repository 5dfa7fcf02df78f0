// What both sides know: a name and schemas. Who asks for it does not load the code that does it.
import { Schema } from "effect"
import { Background } from "querypool/task"

export const primesBelow = Background.computation("primesBelow", { payload: Schema.Finite, success: Schema.Finite })
