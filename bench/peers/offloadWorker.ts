/** The threads of `Background.offload`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect } from "effect"
import { Background } from "querypool/task"
import { crunched, stamped } from "./computations.ts"
import { crunch, stamp } from "./crunch.ts"

Background.serve([
  Background.handle(crunched, ({ seed, steps }) => Effect.sync(() => crunch(seed, steps))),
  Background.handle(stamped, (bytes) => Effect.sync(() => stamp(bytes)))
]).pipe(Effect.provide(NodeWorkerRunner.layer), NodeRuntime.runMain)
