/**
 * Tasks that do nothing: what one costs, and whether anything is left of those that have ended.
 *
 * Equal answers say that every end was waited for, and that the work was done as often.
 */
import { Console, Effect, Option } from "effect"
import type { Task } from "../peers/ownProcess.ts"
import { spentCases } from "../peers/ownProcess.ts"
import { Python } from "../peers/python.ts"
import { taskWays } from "../peers/taskWays.ts"
import type { Effort } from "../Suite.ts"

/** Both the tenth and the whole are more than the store keeps of tasks that have ended. */
const tasksOf = ({ quick }: Effort): number => (quick ? 2_000 : 200_000)

const task = (way: string, name: string, count: number, more: Partial<Task> = {}): Task => ({
  name: `${name}, ${count.toLocaleString("en-US")}`,
  kind: "tasks",
  way,
  expected: { rows: count, sum: count },
  ...more
})

export const taskCases = Effect.fnUntraced(function* (effort: Effort) {
  const count = tasksOf(effort)
  const ways = Object.keys(taskWays)
  const tasks = [
    ...ways.map((way) => task(way, way, count)),
    ...ways.slice(0, 1).map((way) => task(way, way, count / 10))
  ]
  const python = Option.getOrUndefined(yield* Python)
  if (python === undefined) yield* Console.error("not found: gevent")
  else tasks.push(task("gevent", "gevent Pool", count, { python: python.command }))
  if (python?.versions["celery"] === undefined) yield* Console.error("not found: Celery")
  else tasks.push(task("celery", "Celery, in memory", count / 10, { python: python.command, isSlow: true }))
  return yield* spentCases({ tasks, unit: "tasks", showsKept: true })
})
