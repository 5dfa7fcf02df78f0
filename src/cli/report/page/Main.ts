/**
 * The page: what it is given, and what it makes of it.
 *
 * @internal
 */
import { chart } from "./Chart.ts"
import { keyHelp } from "./ChartKeys.ts"
import { details } from "./Details.ts"
import { button, html, set } from "./Element.ts"
import { failures, figures, title } from "./Header.ts"
import { lanesOf } from "./Lanes.ts"
import { legend } from "./Legend.ts"
import { runsOf } from "./Model.ts"
import type { PageData } from "./PageData.ts"
import { outcomes } from "./PageData.ts"
import { patterns } from "./Patterns.ts"
import { State } from "./State.ts"
import { table } from "./Table.ts"
import { count, wrongOf } from "./Words.ts"

// What this page was made with: the one place where its type is said and not checked.
const data = JSON.parse(document.querySelector("#data")?.textContent ?? "{}") as PageData
const root = document.querySelector("#report") ?? document.body
const runs = runsOf(data)

/** More do not fit in a row. */
const mostTabs = 8

const choiceOf = (
  show: (index: number) => void
): { readonly element: HTMLElement | undefined; readonly mark: (index: number) => void } => {
  if (data.runs.length < 2) return { element: undefined, mark: () => {} }
  // Of many, those with which something went wrong are to be found.
  const names = data.runs.map(({ name, queries, unreachable }, index) => {
    const wrong = wrongOf(
      unreachable,
      queries.map(([, outcome]) => outcomes[outcome])
    )
    return (name ?? `run ${index + 1}`) + (wrong === undefined ? "" : `: ${wrong}`)
  })
  if (data.runs.length > mostTabs) {
    const select = html(
      "select",
      { "aria-label": "Run" },
      ...names.map((name, index) => html("option", { value: index }, name))
    )
    select.addEventListener("change", () => show(Number(select.value)))
    return { element: html("nav", { class: "runs" }, select), mark: () => {} }
  }
  const tabs = names.map((name, index) => button(name, () => show(index)))
  return {
    element: html("nav", { class: "runs", "aria-label": "Runs" }, ...tabs),
    mark: (index) => {
      for (const [at, tab] of tabs.entries()) set(tab, { "aria-pressed": String(at === index) })
    }
  }
}

/** What is to be done before the page is printed, and after. */
let printing: { readonly before: () => void; readonly after: () => void } | undefined
window.addEventListener("beforeprint", () => printing?.before())
window.addEventListener("afterprint", () => printing?.after())

const content = html("div", { class: "run" })
const choice = choiceOf((index) => show(index))

const show = (index: number): void => {
  const run = runs[index]?.()
  if (run === undefined) return
  const state = new State(run, lanesOf(run), data.steps)
  const queries = table(state)
  const failed = failures(state, queries.showFailed)
  const tools = html(
    "div",
    { class: "tools" },
    legend(state),
    html(
      "div",
      { class: "zoom", role: "group", "aria-label": "Zoom" },
      button("−", () => state.zoom(2), { "aria-label": "Zoom out" }),
      button("+", () => state.zoom(0.5), { "aria-label": "Zoom in" }),
      button("all", () => state.look(0, state.end), { "aria-label": "Show all of the run" })
    )
  )
  const keys = html(
    "p",
    { class: "dim keys", id: "keys" },
    ...keyHelp.flatMap(([key, what]) => [html("kbd", {}, key), ` ${what}   `]),
    "Drag to zoom in, double-click for all."
  )
  content.replaceChildren(
    title(data, run),
    figures(run),
    ...(failed === undefined ? [] : [failed]),
    html(
      "section",
      { class: "timeline", "aria-labelledby": "timeline-title" },
      html("h2", { id: "timeline-title" }, "Timeline"),
      tools,
      chart(state),
      keys
    ),
    details(state),
    queries.element,
    ...(data.withoutSql > 0
      ? [
          html(
            "p",
            { class: "dim" },
            `To keep this page small, the SQL of ${count(data.withoutSql)} queries is left out. A report named .json has all of it.`
          )
        ]
      : [])
  )
  document.body.classList.remove("with-details")
  choice.mark(index)
  printing = {
    before: () => {
      for (const one of content.querySelectorAll("details")) one.open = true
      queries.print(true)
    },
    after: () => queries.print(false)
  }
}

root.append(patterns(), html("header", { class: "top" }, html("h1", {}, "querypool report"), choice.element), content)
show(0)
