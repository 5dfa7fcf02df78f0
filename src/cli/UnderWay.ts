/**
 * The queries that run at this moment, for whoever leaves before they have ended.
 *
 * @internal
 */
import type { QueryEvent } from "../query/QueryEvent.ts"
import { listed } from "./TextValue.ts"

const names = new Set<{ readonly name: string }>()

/**
 * Takes note of what happens in a run, one of many where it has a name.
 *
 * @internal
 */
export const follow = (run?: string): ((event: QueryEvent) => void) => {
  const ofRun = new Map<number, { readonly name: string }>()
  return (event) => {
    if (event._tag === "Started") {
      const entry = { name: run === undefined ? event.name : `${run}: ${event.name}` }
      ofRun.set(event.id, entry)
      names.add(entry)
    } else if (event._tag === "Ended" || event._tag === "Retrying") {
      const entry = ofRun.get(event.id)
      if (entry === undefined) return
      ofRun.delete(event.id)
      names.delete(entry)
    }
  }
}

/**
 * Names those that run, or `undefined` when none does.
 *
 * @internal
 */
export const underWay = (): string | undefined =>
  names.size === 0 ? undefined : listed([...names].map(({ name }) => name))
