/**
 * The head of a run: how its queries ended, how long it took, what bounded it, and what failed.
 *
 * @internal
 */
import { duration, plural, queryCount } from "../../Amounts.ts"
import { failureOf } from "./Details.ts"
import { button, html, named } from "./Element.ts"
import type { Item, Run } from "./Model.ts"
import type { PageData } from "./PageData.ts"
import { outcomes } from "./PageData.ts"
import type { State } from "./State.ts"
import { count, failureLine, verdictOf } from "./Words.ts"

const figure = (name: string, value: string, more?: string): HTMLElement =>
  html(
    "div",
    {},
    html("dt", {}, name),
    html("dd", {}, value),
    more === undefined ? undefined : html("dd", { class: "dim" }, more)
  )

const endedText = ({ interrupted, items }: Run): string => {
  const counts = outcomes.flatMap((outcome) => {
    const number = items.filter((item) => item.outcome === outcome).length
    return number === 0 ? [] : [`${count(number)} ${outcome}`]
  })
  return counts.join(", ") + (interrupted ? "; interrupted" : "")
}

/** @internal */
export const title = ({ generator }: PageData, { concurrency, database, startedAt }: Run): HTMLElement => {
  const started = new Date(startedAt)
  const when = Number.isNaN(started.getTime())
    ? startedAt
    : started.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "medium" })
  return html(
    "p",
    { class: "dim about" },
    html("time", { datetime: startedAt }, when),
    database === undefined ? "" : ` · ${database}`,
    ` · ${count(concurrency)} at a time · ${generator}`
  )
}

/** @internal */
export const figures = (run: Run): HTMLElement => {
  const { efficiency, items, lowerBoundMillis, makespanMillis, snapshot } = run
  const retried = items.filter(({ attempts }) => attempts > 1).length
  const verdict = verdictOf(run)
  return html(
    "section",
    { class: "figures" },
    html(
      "dl",
      {},
      figure("Queries", count(items.length), endedText(run)),
      figure("Makespan", duration(makespanMillis)),
      verdict === undefined ? undefined : figure("Lower bound", duration(lowerBoundMillis), run.binding),
      verdict === undefined ? undefined : figure("Efficiency", `${Math.round(efficiency * 100)} %`),
      retried === 0 ? undefined : figure("Tried again", queryCount(retried)),
      snapshot === undefined
        ? undefined
        : figure(
            "Snapshot",
            duration(snapshot.toMillis - snapshot.fromMillis),
            snapshot.lost ? "lost before the end" : "held: one moment for all"
          )
    ),
    verdict === undefined ? undefined : html("p", { class: "verdict" }, verdict)
  )
}

const mostShown = 10
/** Of more, what they have in common is to be seen first. */
const mostOpen = 2

/** @internal */
export const failures = (state: State, showAll: () => void): HTMLElement | undefined => {
  const { items, unreachable } = state.run
  const failed = items.filter((item) => item.extra.error !== undefined)
  if (failed.length === 0 && unreachable === undefined) return undefined
  const one = (item: Item): HTMLElement => {
    const { error } = item.extra
    return html(
      "details",
      { open: failed.length <= mostOpen },
      html(
        "summary",
        {},
        html(
          "span",
          { class: "headline" },
          named(item.name, { class: "name" }),
          html("span", { class: "why" }, error === undefined ? "" : ` ${failureLine(error)}`)
        )
      ),
      error === undefined ? undefined : failureOf(error),
      button("All of this query", () => state.pin(item), { class: "link" })
    )
  }
  return html(
    "section",
    { class: "failures", "aria-labelledby": "failures-title" },
    html("h2", { id: "failures-title" }, unreachable === undefined ? plural(failed.length, "failure") : "Unreachable"),
    unreachable === undefined ? undefined : html("p", { class: "why" }, unreachable),
    ...failed.slice(0, mostShown).map(one),
    failed.length > mostShown
      ? button(`Show all ${count(failed.length)} in the table`, showAll, { class: "link" })
      : undefined
  )
}
