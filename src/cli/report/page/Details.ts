/**
 * All that is known of one query, beside the page: open until it is closed.
 *
 * @internal
 */
import { duration } from "../../Amounts.ts"
import { button, html, named } from "./Element.ts"
import { swatch } from "./Patterns.ts"
import type { Item } from "./Model.ts"
import { needsOf } from "./Model.ts"
import type { PageFailure } from "./PageData.ts"
import type { State } from "./State.ts"
import { cancelText, count, failureLine, keptText, outcomeText, partsText, spanText } from "./Words.ts"

const most = 100

const fact = (name: string, value: string | Node | undefined): ReadonlyArray<Node> =>
  value === undefined ? [] : [html("dt", {}, name), html("dd", {}, value)]

const part = (title: string, ...children: ReadonlyArray<Node>): HTMLElement =>
  html("section", {}, html("h3", {}, title), ...children)

const excerptOf = (excerpt: string): HTMLElement => {
  const [source = "", ...caret] = excerpt.split("\n")
  return html("pre", { tabindex: 0 }, `${source}\n`, html("span", { class: "why" }, caret.join("\n")))
}

/**
 * Why an attempt failed, with the place in the SQL.
 *
 * @internal
 */
export const failureOf = (failure: PageFailure): HTMLElement => {
  const { detail, excerpt, hint, place, reason } = failure
  const facts = [
    ...fact("at", place === undefined ? undefined : html("code", {}, place)),
    ...fact("detail", detail),
    ...fact("hint", hint),
    ...fact("kept", keptText(failure)),
    ...fact("reason", reason)
  ]
  return html(
    "div",
    { class: "failure" },
    html("p", { class: "why" }, failureLine(failure)),
    excerpt === undefined ? undefined : excerptOf(excerpt),
    html("dl", { class: "facts" }, ...facts)
  )
}

const listOf = (items: ReadonlyArray<Item>, state: State): HTMLElement => {
  const shown = items.slice(0, most).map((item) =>
    html(
      "li",
      {},
      swatch(item.outcome),
      button(item.name, () => state.pin(item), { class: "name" }),
      html("span", { class: "dim" }, ` ${item.attempts === 0 ? item.outcome : duration(item.ran)}`)
    )
  )
  const others = items.length - shown.length
  return html("ul", {}, ...shown, others > 0 ? html("li", { class: "dim" }, `and ${count(others)} more`) : undefined)
}

const livesOf = (item: Item): HTMLElement =>
  html(
    "table",
    { class: "spans" },
    html(
      "tbody",
      {},
      ...item.spans
        .slice(0, most)
        .map((span) =>
          html(
            "tr",
            {},
            html("td", {}, spanText(item, span)),
            html("td", { class: "number" }, duration(span.to - span.from)),
            html("td", { class: "number dim" }, `from ${duration(span.from)}`)
          )
        )
    )
  )

const attemptsOf = ({ extra }: Item): ReadonlyArray<HTMLElement> =>
  (extra.failedAttempts ?? []).map(({ attempt, delayMillis, error }) =>
    html(
      "li",
      {},
      html("span", {}, `attempt ${attempt}: `, html("span", { class: "why" }, failureLine(error))),
      html("span", { class: "dim" }, ` tried again after ${duration(delayMillis)}`)
    )
  )

const contentOf = (item: Item, state: State): ReadonlyArray<Node> => {
  const { extra, sql } = item
  const needs = needsOf(state.run.items, item)
  const dependents = state.run.dependents.get(item) ?? []
  const attempts = attemptsOf(item)
  return [
    html(
      "dl",
      { class: "facts" },
      ...fact("outcome", html("span", {}, swatch(item.outcome), outcomeText(item))),
      ...fact("place", item.place === undefined ? undefined : html("code", {}, item.place)),
      ...fact("ran", item.attempts === 0 ? "never" : duration(item.ran)),
      ...fact("waited", duration(item.waited)),
      ...fact("rows", count(item.rows)),
      ...fact("attempts", item.attempts > 1 ? count(item.attempts) : undefined),
      ...fact("cancel", extra.cancel === undefined ? undefined : cancelText(extra.cancel)),
      ...fact("tags", extra.tags === undefined ? undefined : extra.tags.join(", "))
    ),
    ...(item.whole === undefined ? [] : [part("Part of", listOf([item.whole], state))]),
    ...(extra.error === undefined ? [] : [part("Failure", failureOf(extra.error))]),
    ...(attempts.length === 0 ? [] : [part("Attempts before", html("ul", {}, ...attempts))]),
    part("What it did", livesOf(item)),
    ...(needs.length === 0 ? [] : [part("Needs", listOf(needs, state))]),
    ...(dependents.length === 0 ? [] : [part("Is needed by", listOf(dependents, state))]),
    ...(item.parts.length === 0 ? [] : [part(partsText(item), listOf(item.parts, state))]),
    ...(extra.notices === undefined ? [] : [part("Notices", noticesOf(extra.notices, extra.moreNotices ?? 0))]),
    ...(sql === undefined ? [] : [part("SQL", html("pre", { class: "sql", tabindex: 0 }, sql))])
  ]
}

const noticesOf = (notices: ReadonlyArray<string>, more: number): HTMLElement =>
  html(
    "ul",
    {},
    ...notices.map((notice) => html("li", {}, notice)),
    more > 0 ? html("li", { class: "dim" }, `and ${count(more)} more`) : undefined
  )

/** @internal */
export const details = (state: State): HTMLElement => {
  const title = html("h2", { id: "details-title" })
  const content = html("div", {})
  /** What had the focus when they were opened, and has it again when they are closed. */
  let opener: Element | null = null
  const leave = (): void => {
    state.pin(undefined)
    const back = opener?.isConnected === true ? opener : document.querySelector(".chart")
    if (back instanceof HTMLElement) back.focus()
  }
  const close = button("×", leave, { class: "close", "aria-label": "Close the details" })
  const element = html(
    "aside",
    { class: "details", "aria-labelledby": "details-title", hidden: true },
    html("header", {}, title, close),
    content
  )
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave()
  })
  state.on((change) => {
    if (change !== "pinned") return
    const item = state.pinned
    if (element.hidden) opener = document.activeElement === document.body ? null : document.activeElement
    element.hidden = item === undefined
    document.body.classList.toggle("with-details", item !== undefined)
    if (item === undefined) return
    // The button that was pressed is gone with what it stood in, and the focus with it.
    const hadFocus = content.contains(document.activeElement)
    title.replaceChildren(named(item.name))
    content.replaceChildren(...contentOf(item, state))
    element.scrollTop = 0
    if (hadFocus) close.focus()
  })
  return element
}
