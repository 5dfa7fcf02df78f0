/**
 * Where in the program a query was made: for its errors, and for the log of a session that is held for too long.
 *
 * A stack costs 10 µs, too much for each of 30,000 lookups, so it is looked at once for each name: a name that is used
 * in two places is told with the first. Names are few; of those that are made up as the program runs, the first
 * thousand are kept. The parts of a query have its origin: ten thousand of them would leave no room for others.
 *
 * @internal
 */
import { Predicate } from "effect"
import { wholeOf } from "./PartName.ts"

const mostNames = 1_000
const origins = new Map<string, string | undefined>()

/**
 * Notes the caller's caller as the origin of a name that has none yet.
 *
 * @internal
 */
export const note = (name: string): void => {
  const whole = wholeOf(name)
  if (!origins.has(whole) && origins.size < mostNames) {
    origins.set(whole, callerIn(new Error().stack, import.meta.url, globalThis.process?.cwd()))
  }
}

/** @internal */
export const of = (name: string): string | undefined => origins.get(wholeOf(name))

/**
 * The first frame of a stack outside of the folder of `ownUrl`, as `file:line:column`, from the folder where the
 * program was started if it is in there.
 *
 * @internal
 */
export const callerIn = (stack: unknown, ownUrl: string, startedIn: string | undefined): string | undefined => {
  if (!Predicate.isString(stack)) return undefined
  const own = folderOf(toPath(ownUrl))
  for (const line of stack.split("\n")) {
    const place = placeOf(line)
    if (place === undefined || place.startsWith(own)) continue
    const inside = startedIn !== undefined && place.startsWith(`${startedIn}/`)
    return inside ? place.slice(startedIn.length + 1) : place
  }
  return undefined
}

/** `at f (file:1:2)` and `at file:1:2`, where the file may have spaces and brackets in its name. */
const placeOf = (line: string): string | undefined => {
  const frame = /^\s+at (?:async )?(.*)$/.exec(line)?.[1] ?? ""
  const opening = frame.endsWith(")") ? frame.indexOf(" (") : -1
  const place = opening < 0 ? frame : frame.slice(opening + 2, -1)
  return /^[^<]+:\d+:\d+$/.test(place) && !place.startsWith("node:") ? toPath(place) : undefined
}

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1)

/** Modules have URLs in a stack, and scripts have paths. */
const toPath = (place: string): string => {
  if (!place.startsWith("file://")) return place
  const path = place.slice("file://".length)
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
