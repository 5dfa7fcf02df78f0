/**
 * The thread of `Background.monitor`: looks on while the event loop of the main thread is blocked, which can do nothing
 * itself then.
 *
 *     main thread    beat · beat · beat · (blocked ·················) · beat
 *     this one            look        look       ask       ask        look
 *
 * At each look it sees whether the main thread has beaten since the last one. If not, it has an expression evaluated there,
 * by the inspector of V8, which does so in the middle of whatever runs: within a function, a regular expression or a wait,
 * and after a call into native code. No port is opened, and the debugger is not enabled, which would slow down the promises
 * of the whole program ten times and take 0.3 s for the sources that it reads.
 *
 * @internal
 */
import { Session } from "node:inspector"
import { workerData } from "node:worker_threads"
import type { Watch } from "./BackgroundMonitor.ts"

const { beats, expression, lookMillis }: Watch = workerData

let seen = -1
let isAsking = false

setInterval(() => {
  const now = Atomics.load(beats, 0)
  const isAlive = now !== seen
  seen = now
  if (isAlive || isAsking) return
  isAsking = true
  const session = new Session()
  session.connectToMainThread()
  session.post("Runtime.evaluate", { expression }, () => {
    isAsking = false
    session.disconnect()
  })
}, lookMillis)
