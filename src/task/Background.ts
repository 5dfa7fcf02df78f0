/**
 * Work beside the requests of the same process.
 *
 * What Effect gives is not repeated here: `Effect.forkIn` runs something for as long as a server lives, `Effect.delay`
 * later, and a `Schedule` again and again. Added is what needs to know of the event loop:
 *
 * | it takes | then |
 * |---|---|
 * | a moment, whenever there is one | `idle` |
 * | long, in many steps | `yieldEvery` |
 * | long, in one step | `offload` |
 * | long, and nobody knows where | `monitor` |
 *
 * @since 0.1.0
 */
export { computation, NoHandler, OffloadError, Unsendable, WorkerLost } from "./BackgroundComputation.ts"
export type { Computation, ComputationOptions } from "./BackgroundComputation.ts"
export { idle } from "./BackgroundIdle.ts"
export type { IdleOptions } from "./BackgroundIdle.ts"
export { EventLoop } from "./BackgroundLoop.ts"
export { monitor } from "./BackgroundMonitor.ts"
export type { MonitorOptions } from "./BackgroundMonitor.ts"
export { handle, serve } from "./BackgroundServe.ts"
export type { Handler } from "./BackgroundServe.ts"
export { layerWorkers, offload, Workers } from "./BackgroundWorkers.ts"
export type { WorkersOptions } from "./BackgroundWorkers.ts"
export { yieldEvery } from "./BackgroundYield.ts"
export type { Every } from "./BackgroundYield.ts"
