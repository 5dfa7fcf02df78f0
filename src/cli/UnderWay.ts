/**
 * The queries that run at this moment, for whoever leaves before they have ended.
 *
 * @internal
 */
import type { QueryEvent } from "../query/QueryEvent.ts"
import { toLine } from "./TextValue.ts"

const names = new Map<number, string>()

/**
 * Takes note of what happens in the process's one run.
 *
 * @internal
 */
export const follow = (event: QueryEvent): void => {
  if (event._tag === "Started") names.set(event.id, event.name)
  else if (event._tag === "Ended" || event._tag === "Retrying") names.delete(event.id)
}

/** Names in one line; more are counted. */
const mostNames = 10

/**
 * Names those that run, or `undefined` when none does.
 *
 * @internal
 */
export const underWay = (): string | undefined => {
  if (names.size === 0) return undefined
  const shown = [...names.values()].slice(0, mostNames).map(toLine)
  const others = names.size - shown.length
  return shown.join(", ") + (others === 0 ? "" : ` and ${others} more`)
}
