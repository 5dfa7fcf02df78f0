/**
 * The queries as a table, with the life of each: the same as the picture, for those who read rather than look.
 *
 * Of ten thousand rows those that can be seen are made, and when the page is printed the first so many.
 *
 * @internal
 */
import { duration, queryCount } from "../../Amounts.ts"
import { xOf } from "./Axis.ts"
import { rectangle } from "./Drawing.ts"
import { button, html, named, nextFrame, set, svg } from "./Element.ts"
import { swatch } from "./Patterns.ts"
import type { Item } from "./Model.ts"
import { holdsSession, needsOf } from "./Model.ts"
import { outcomes } from "./PageData.ts"
import type { Choice, Column } from "./Rows.ts"
import { rowsOf } from "./Rows.ts"
import type { State } from "./State.ts"
import { count, outcomeText, partsText } from "./Words.ts"

const rowHeight = 26
/** Rows made above and below those that can be seen. */
const spare = 8
const mostPrinted = 300
const mostShown = 150
const lifeWidth = 240

const columns: ReadonlyArray<{ readonly column: Column; readonly title: string; readonly descending?: boolean }> = [
  { column: "name", title: "query" },
  { column: "outcome", title: "outcome" },
  { column: "worker", title: "worker" },
  { column: "start", title: "start" },
  { column: "waited", title: "waited", descending: true },
  { column: "ran", title: "ran", descending: true },
  { column: "attempts", title: "tries", descending: true },
  { column: "rows", title: "rows", descending: true }
]

const lifeOf = (item: Item, state: State): SVGSVGElement => {
  const view = { from: state.from, to: state.to, width: lifeWidth }
  const shapes = item.spans.flatMap((span) => {
    const from = Math.max(xOf(view, span.from), 0)
    const to = Math.min(xOf(view, span.to), lifeWidth)
    if (to < from) return []
    const held = holdsSession(span)
    const ink =
      span.kind !== "running"
        ? span.kind
        : span.attempt < item.attempts
          ? "retried"
          : item.outcome === "skipped"
            ? "cancelled"
            : item.outcome
    const [y, height] = held ? [3, 12] : [7, 4]
    return [svg("path", { class: `ink ${ink}`, d: rectangle(from, y, Math.max(to - from, held ? 2 : 0), height) })]
  })
  return svg(
    "svg",
    { class: "life", viewBox: `0 0 ${lifeWidth} 18`, preserveAspectRatio: "none", "aria-hidden": "true" },
    ...shapes
  )
}

const mostNeeds = 2

const needsText = (item: Item, items: ReadonlyArray<Item>): string => {
  const needs = needsOf(items, item)
  const others = needs.length - mostNeeds
  return (
    needs
      .slice(0, mostNeeds)
      .map(({ name }) => name)
      .join(", ") + (others > 0 ? ` +${count(others)}` : "")
  )
}

/** Stands for rows that are not made. */
const spacer = (count: number): HTMLElement => {
  const row = html("tr", { class: "spacer", "aria-hidden": "true" })
  row.style.height = `${count * rowHeight}px`
  return row
}

/** @internal */
export const table = (state: State) => {
  const { run } = state
  let choice: Choice = { text: "", outcome: undefined, column: undefined, descending: false }
  let rows: ReadonlyArray<Item> = run.items
  let active = -1

  const hasNeeds = run.items.some(({ extra }) => extra.needs !== undefined)
  const isOnPath = new Set(run.criticalPath.length < 2 ? [] : run.criticalPath)
  const heads = new Map(
    columns.map(({ column, descending = false, title }) => [
      column,
      html(
        "th",
        { scope: "col", class: column },
        button(title, () => sort(column, descending), { class: "sort" })
      )
    ])
  )
  const head = html(
    "tr",
    {},
    ...heads.values(),
    hasNeeds ? html("th", { scope: "col", class: "needs" }, "needs") : undefined,
    html("th", { scope: "col", class: "lives" }, "life")
  )
  const body = html("tbody")
  const grid = html(
    "table",
    { role: "grid", tabindex: 0, "aria-label": "Queries. Arrow keys move from row to row, Enter opens the details." },
    html("thead", {}, head),
    body
  )
  const scroll = html("div", { class: "grid" }, grid)
  const shown = html("output", { class: "dim", "aria-live": "polite" })
  const search = html("input", {
    type: "search",
    placeholder: "Filter by name, file, tag, error, SQL",
    "aria-label": "Filter the queries",
    spellcheck: "false",
    autocomplete: "off"
  })

  const kinds = [undefined, ...outcomes, "retried" as const].flatMap((kind) => {
    const number = rowsOf(run.items, { ...choice, outcome: kind }).length
    return kind !== undefined && (number === 0 || number === run.items.length)
      ? []
      : [
          {
            kind,
            button: button(`${kind ?? "all"} ${count(number)}`, () => choose({ outcome: kind }), {
              "aria-pressed": "false"
            })
          }
        ]
  })

  const rowOf = (item: Item, index: number): HTMLTableRowElement => {
    const row = html(
      "tr",
      {
        id: `row-${index}`,
        "aria-rowindex": index + 2,
        "aria-selected": state.pinned === item,
        class: [index === active ? "active" : "", state.pinned === item ? "chosen" : ""].join(" ").trim()
      },
      html(
        "td",
        { class: "name" },
        named(item.name),
        item.parts.length === 0 ? undefined : html("span", { class: "dim" }, ` ${partsText(item)}`),
        isOnPath.has(item) ? html("span", { class: "on-path", title: "on the critical path" }) : undefined
      ),
      html("td", { class: "outcome", title: outcomeText(item) }, swatch(item.outcome), outcomeText(item)),
      html("td", { class: "worker number" }, item.worker < 0 ? "" : String(item.worker + 1)),
      html("td", { class: "start number" }, item.started === undefined ? "" : duration(item.started)),
      html("td", { class: "waited number" }, duration(item.waited)),
      html("td", { class: "ran number" }, item.attempts === 0 ? "" : duration(item.ran)),
      html("td", { class: "attempts number" }, count(item.attempts)),
      html("td", { class: "rows number" }, count(item.rows)),
      hasNeeds ? html("td", { class: "needs" }, needsText(item, run.items)) : undefined,
      html("td", { class: "lives" }, lifeOf(item, state))
    )
    row.addEventListener("click", () => {
      active = index
      state.pin(state.pinned === item ? undefined : item)
    })
    row.addEventListener("pointerenter", () => state.pointAt(item))
    return row
  }

  /** How many rows are being printed; 0 while it is on a screen. */
  let printed = 0

  const draw = (): void => {
    // Where nothing bounds its height, it is as high as all of its rows.
    const room = Math.min(Math.ceil(scroll.clientHeight / rowHeight), mostShown)
    const first = printed > 0 ? 0 : Math.max(0, Math.floor(scroll.scrollTop / rowHeight) - spare)
    const last = printed > 0 ? Math.min(printed, rows.length) : Math.min(rows.length, first + room + 2 * spare)
    body.replaceChildren(
      spacer(first),
      ...rows.slice(first, last).map((item, index) => rowOf(item, first + index)),
      ...(printed > 0 ? [] : [spacer(rows.length - last)])
    )
    set(grid, {
      "aria-rowcount": rows.length + 1,
      "aria-activedescendant": active >= first && active < last ? `row-${active}` : undefined
    })
    const cut = printed > 0 && rows.length > printed ? `, of which the first ${count(printed)} are printed` : ""
    shown.textContent =
      (rows.length === run.items.length
        ? queryCount(rows.length)
        : `${count(rows.length)} of ${queryCount(run.items.length)}`) + cut
  }

  const choose = (change: Partial<Choice>): void => {
    choice = { ...choice, ...change }
    rows = rowsOf(run.items, choice)
    active = -1
    scroll.scrollTop = 0
    for (const { button, kind } of kinds) set(button, { "aria-pressed": String(kind === choice.outcome) })
    for (const [column, cell] of heads) {
      const direction = choice.descending ? "descending" : "ascending"
      set(cell, { "aria-sort": column === choice.column ? direction : undefined })
    }
    draw()
  }

  /** One way, the other way, and as the run has them. */
  const sort = (column: Column, descending: boolean): void => {
    if (choice.column !== column) choose({ column, descending })
    else if (choice.descending === descending) choose({ descending: !descending })
    else choose({ column: undefined, descending: false })
  }

  const go = (index: number): void => {
    active = Math.min(Math.max(index, 0), rows.length - 1)
    const top = active * rowHeight
    const room = scroll.clientHeight - 2 * rowHeight
    if (top < scroll.scrollTop) scroll.scrollTop = top
    else if (top > scroll.scrollTop + room) scroll.scrollTop = top - room
    draw()
    const item = rows[active]
    if (item !== undefined) state.pointAt(item)
  }

  grid.addEventListener("keydown", (event) => {
    if (event.target !== grid) return
    const page = Math.max(1, Math.floor(scroll.clientHeight / rowHeight) - 2)
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: rows.length
    }
    const to = steps[event.key]
    const item = rows[active]
    if (to !== undefined) go(to)
    else if (event.key === "Enter" && item !== undefined) state.pin(item)
    else if (event.key === "Escape") state.pin(undefined)
    else return
    event.preventDefault()
  })
  search.addEventListener("input", () => choose({ text: search.value }))
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return
    event.preventDefault()
    grid.focus()
    go(0)
  })
  scroll.addEventListener(
    "scroll",
    nextFrame(() => draw())
  )
  scroll.addEventListener("pointerleave", () => state.point(undefined))
  const redraw = nextFrame(() => draw())
  state.on((change) => {
    if (change !== "pointed") redraw()
  })
  new ResizeObserver(redraw).observe(scroll)
  const element = html(
    "section",
    { class: "queries", "aria-labelledby": "queries-title" },
    html("h2", { id: "queries-title" }, "Queries"),
    html(
      "div",
      { class: "tools" },
      search,
      html("div", { class: "kinds", role: "group", "aria-label": "Outcomes" }, ...kinds.map(({ button }) => button)),
      shown
    ),
    scroll
  )
  set(grid, { "aria-colcount": columns.length + (hasNeeds ? 2 : 1) })
  choose({})
  return {
    element,
    print: (isOn: boolean) => {
      printed = isOn ? mostPrinted : 0
      draw()
    },
    showFailed: () => {
      choose({ outcome: "failed" })
      grid.scrollIntoView({ block: "center" })
      grid.focus()
    }
  }
}
