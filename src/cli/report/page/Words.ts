/**
 * What the page says of queries. Pure.
 *
 * @internal
 */
import { duration, plural } from "../../Amounts.ts"
import type { Fill } from "./Lanes.ts"
import type { Item, Run, Span } from "./Model.ts"
import type { OutcomeName, PageFailure } from "./PageData.ts"

/** @internal */
export const count = (number: number): string => number.toLocaleString("en")

/** @internal */
export const wordOf: Readonly<Record<Fill, string>> = {
  succeeded: "succeeded",
  failed: "failed",
  cancelled: "cancelled",
  retried: "failed, tried again",
  cancelling: "being cancelled",
  needing: "waiting for what it needs",
  waiting: "waiting for its turn",
  retrying: "waiting to be tried again"
}

/**
 * A span of time, said of a query.
 *
 * @internal
 */
export const spanText = (item: Item, { attempt, kind, worker }: Span): string => {
  if (kind === "needing") return "waited for what it needs"
  if (kind === "retrying") return `waited for attempt ${attempt}`
  if (kind === "waiting") return item.whole === undefined ? "waited for its turn" : "waited for a session"
  const where = item.whole === undefined && worker >= 0 ? ` on worker ${worker + 1}` : ""
  const often = item.attempts > 1 ? `, attempt ${attempt}` : ""
  return `${kind === "running" ? "ran" : "was being cancelled"}${where}${often}`
}

/** @internal */
export const failureLine = ({ message, sqlState }: PageFailure): string =>
  sqlState === undefined ? message : `${message} (${sqlState})`

/**
 * How many parts a query was cut into: without what planned them.
 *
 * @internal
 */
export const partsText = ({ name, parts }: Item): string =>
  plural(parts.filter((part) => part.name !== `${name} [plan]`).length, "part")

/**
 * What went wrong with a run, in two words.
 *
 * @internal
 */
export const wrongOf = (
  unreachable: string | undefined,
  outcomes: ReadonlyArray<OutcomeName | undefined>
): string | undefined => {
  if (unreachable !== undefined) return "unreachable"
  const failed = outcomes.filter((outcome) => outcome === "failed").length
  return failed === 0 ? undefined : `${count(failed)} failed`
}

/** @internal */
export const outcomeText = ({ extra, outcome }: Item): string =>
  outcome + (extra.because === undefined ? "" : ` because ${extra.because} did not succeed`)

/** @internal */
export const cancelText = ({ how, tookMillis }: NonNullable<Item["extra"]["cancel"]>): string => {
  const took = duration(tookMillis)
  if (how === "idle") return `the server stopped it in ${took}`
  if (how === "gone") return `the server closed its connection after ${took}`
  if (how === "terminated") return `it did not stop, and the server ended its connection after ${took}`
  return `unconfirmed: no answer in ${took}, so the server may still run it`
}

/**
 * What is left of what a failed attempt wrote, where that is not nothing.
 *
 * @internal
 */
export const keptText = ({ outcome }: PageFailure): string | undefined => {
  if (outcome === "partial") return "the statements that completed before stay applied"
  return outcome === "unknown" ? "it may be applied, so look before you run it again" : undefined
}

/**
 * A query in one line, for those who do not see the picture.
 *
 * @internal
 */
export const spokenOf = (item: Item, span: Span): string =>
  [
    item.name,
    outcomeText(item),
    `${spanText(item, span)}, ${duration(span.to - span.from)} from ${duration(span.from)}`,
    ...(item.extra.error === undefined ? [] : [failureLine(item.extra.error)])
  ].join(". ")

const mostOfPath = 6

/**
 * Why no scheduler could have been quicker.
 *
 * @internal
 */
export const verdictOf = (run: Run): string | undefined => {
  const { binding, concurrency, criticalPath, isBounded, items, lowerBoundMillis, processors = Infinity } = run
  if (!isBounded) return undefined
  const bound = `No order of these queries could have beaten ${duration(lowerBoundMillis)}`
  if (binding === "total work") {
    if (concurrency === 1) return `${bound}: that is all of their work, done one by one.`
    const sharers = processors < concurrency ? plural(processors, "processor") : plural(concurrency, "worker")
    return `${bound}: that is all of their work, shared by ${sharers}.`
  }
  if (binding === "longest query") {
    const longest = items.reduce<Item | undefined>((a, b) => (a === undefined || b.ran > a.ran ? b : a), undefined)
    return `${bound}: ${longest?.name ?? "the longest query"} takes that long by itself.`
  }
  const names = criticalPath.map(({ name }) => name)
  const path =
    names.length <= mostOfPath ? names : [...names.slice(0, 3), `${names.length - 5} more`, ...names.slice(-2)]
  return `${bound}: ${path.join(" → ")} need each other, one after the other.`
}
