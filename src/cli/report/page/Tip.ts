/**
 * What is said of the bar that is pointed at, beside it.
 *
 * @internal
 */
import { duration, plural } from "../../Amounts.ts"
import { html, named, set } from "./Element.ts"
import { swatch } from "./Patterns.ts"
import type { Bar } from "./Lanes.ts"
import { failureLine, wordOf } from "./Words.ts"

interface Place {
  /** In the middle of what it is about. */
  readonly x: number
  readonly top: number
  readonly bottom: number
  /** Of all there is. */
  readonly width: number
}

const margin = 8
const widest = 340

/** @internal */
export const tipOf = () => {
  const element = html("div", { class: "tip", hidden: true, "aria-hidden": "true" })

  const show = (bar: Bar, { bottom, top, width, x }: Place): void => {
    const { attempt, fill, from, item, to } = bar
    const { extra } = item
    const failed = extra.failedAttempts?.find((one) => one.attempt === attempt)?.error
    const error = fill === "retried" ? failed : fill === "failed" ? extra.error : undefined
    const lines = [
      item.whole === undefined ? undefined : html("div", { class: "dim" }, "part of ", named(item.whole.name)),
      html("div", {}, swatch(fill), wordOf[fill], item.attempts > 1 ? ` · attempt ${attempt} of ${item.attempts}` : ""),
      html("div", { class: "numbers" }, `${duration(to - from)} from ${duration(from)} to ${duration(to)}`),
      fill === "succeeded" ? html("div", { class: "dim" }, plural(item.rows, "row")) : undefined,
      error === undefined ? undefined : html("div", { class: "why" }, failureLine(error).slice(0, 200))
    ]
    element.replaceChildren(html("strong", {}, named(item.name)), ...lines.flatMap((line) => line ?? []))
    set(element, { hidden: false })
    const half = Math.min(element.offsetWidth, widest) / 2
    element.style.left = `${Math.min(Math.max(x, half + margin), width - half - margin) - half}px`
    // Above, where there is room: below it would hide the lanes that are read next.
    const above = top - element.offsetHeight - margin
    element.style.top = `${above >= 0 ? above : bottom + margin}px`
  }

  return { element, show, hide: () => set(element, { hidden: true }) }
}
