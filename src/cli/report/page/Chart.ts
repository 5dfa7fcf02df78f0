/**
 * The picture: a lane for each worker, drawn for the part of time that is looked at.
 *
 * It has few elements whatever the number of queries (Drawing.ts). Which bar is pointed at is calculated, so that hovering
 * and the arrow keys work on bars that are too narrow to be seen.
 *
 * @internal
 */
import type { View } from "./Axis.ts"
import { millisAt, ticksOf, xOf } from "./Axis.ts"
import { arrowKeys } from "./ChartKeys.ts"
import { draw, inks, rectangle } from "./Drawing.ts"
import { html, nextFrame, set, svg } from "./Element.ts"
import type { Bar, Lane } from "./Lanes.ts"
import { barAt } from "./Lanes.ts"
import { linksOf, marksOf } from "./Marks.ts"
import { overview } from "./Overview.ts"
import type { State } from "./State.ts"
import { tipOf } from "./Tip.ts"

/** For the labels of lanes. */
const gutter = 94
const right = 12
const axisHeight = 38

/** How far from a bar the pointer may be, in pixels. */
const reach = 4

/** @internal */
export const chart = (state: State): HTMLElement => {
  const { lanes, steps } = state
  const strip = overview(state)
  const axis = svg("svg", { class: "axis", height: axisHeight, "aria-hidden": "true" })
  const picture = svg("svg", { class: "lanes", height: lanes.height + 4, "aria-hidden": "true" })
  const plot = svg("svg", { class: "plot", x: gutter, y: 2, height: lanes.height, overflow: "hidden" })
  const ground = svg("g", {})
  const bars = new Map(inks.map((ink) => [ink, svg("path", { class: `ink ${ink}` })]))
  const texts = svg("g", { class: "texts" })
  const path = svg("path", { class: "ink path" })
  const halo = svg("path", { class: "halo" })
  const links = svg("path", { class: "links" })
  const life = svg("path", { class: "lifeline" })
  const bound = svg("path", { class: "bound" })
  const end = svg("path", { class: "end" })
  const pinned = svg("path", { class: "pinned" })
  const pointed = svg("path", { class: "pointed" })
  const drag = svg("rect", { class: "drag", y: 0, height: lanes.height })
  plot.append(ground, ...bars.values(), path, texts, end, bound, halo, links, life, pinned, pointed, drag)
  const labels = svg("g", {})
  picture.append(labels, plot)
  const tip = tipOf()
  const scroll = html("div", { class: "scroll" }, axis, picture)
  const said = html("div", { class: "unseen", "aria-live": "polite" })
  const element = html(
    "div",
    {
      class: "chart",
      tabindex: 0,
      role: "application",
      "aria-label": "Timeline of the queries by worker. The table below has the same.",
      "aria-describedby": "keys"
    },
    strip.element,
    scroll,
    tip.element,
    said
  )

  let view: View = { from: state.from, to: state.to, width: 1 }

  const outlineOf = (bar: Bar, lane: Lane): string => {
    const [left, end] = [xOf(view, bar.from), xOf(view, bar.to)]
    return rectangle(
      Math.max(left, -4),
      lane.top + 1,
      Math.max(Math.min(end, view.width + 4) - left, 3),
      lane.height - 2
    )
  }
  const laneOf = (bar: Bar): Lane | undefined => lanes.places.get(bar.item)?.find((place) => place.bar === bar)?.lane

  const drawLanes = (): void => {
    ground.replaceChildren(
      ...lanes.lanes.map(({ group, height, top }) =>
        svg("rect", { class: `ground ${group}`, x: 0, y: top, width: view.width, height: height - 1 })
      )
    )
    labels.replaceChildren(
      ...lanes.lanes.map(({ height, label, top }) =>
        svg("text", { class: "lane", x: gutter - 8, y: top + height / 2 + 2 }, label)
      )
    )
  }

  const drawView = (): void => {
    view = { from: state.from, to: state.to, width: view.width }
    const drawn = draw(lanes.lanes, view)
    for (const [ink, shape] of bars) set(shape, { d: drawn.paths.get(ink) ?? "" })
    texts.replaceChildren(...drawn.labels.map(({ ink, text, x, y }) => svg("text", { class: `on ${ink}`, x, y }, text)))
    const marks = marksOf(state, view)
    set(path, { d: marks.criticalPath })
    set(bound, { d: marks.bound })
    set(end, { d: marks.end })
    axis.replaceChildren(
      ...marks.flags.map(({ anchor, kind, text, x }) =>
        svg("text", { class: `flag ${kind}`, x: gutter + x, y: 10, "text-anchor": anchor }, text)
      ),
      svg("path", { class: "line", d: `M${gutter} ${axisHeight - 0.5}h${view.width}` }),
      ...ticksOf(view, steps).flatMap(({ anchor, text, x }) => [
        svg("path", { class: "tick", d: `M${gutter + Math.round(x) + 0.5} ${axisHeight - 6}v6` }),
        svg("text", { class: "tick", x: gutter + x, y: axisHeight - 14, "text-anchor": anchor }, text)
      ])
    )
    drawMarked()
  }

  const drawMarked = (): void => {
    const active = state.pointed?.item ?? state.pinned
    const tied = active === undefined ? { life: "", links: "" } : linksOf(state, view, active)
    set(halo, { d: tied.life + tied.links })
    set(links, { d: tied.links })
    set(life, { d: tied.life })
    const { pinned: item, pointed: bar } = state
    const places = item === undefined ? [] : (lanes.places.get(item) ?? [])
    set(pinned, { d: places.map((place) => outlineOf(place.bar, place.lane)).join("") })
    const lane = bar === undefined ? undefined : laneOf(bar)
    set(pointed, { d: bar === undefined || lane === undefined ? "" : outlineOf(bar, lane) })
  }

  const showTip = (): void => {
    const bar = state.pointed
    const lane = bar === undefined ? undefined : laneOf(bar)
    const isHere = element.matches(":hover") || element.contains(document.activeElement)
    if (bar === undefined || lane === undefined || !isHere) return tip.hide()
    const from = Math.max(xOf(view, bar.from), 0)
    const to = Math.min(xOf(view, bar.to), view.width)
    const box = picture.getBoundingClientRect()
    const around = element.getBoundingClientRect()
    tip.show(bar, {
      x: box.left - around.left + gutter + Math.min(Math.max((from + to) / 2, 0), view.width),
      top: box.top - around.top + lane.top + 2,
      bottom: box.top - around.top + lane.top + lane.height + 2,
      width: around.width
    })
  }

  const resize = (): void => {
    const width = Math.max(element.clientWidth - gutter - right, 100)
    view = { from: state.from, to: state.to, width }
    for (const part of [axis, picture]) set(part, { width: gutter + width })
    set(plot, { width })
    strip.resize(gutter, width)
    drawLanes()
    drawView()
  }
  const redraw = nextFrame(drawView)
  const mark = nextFrame(() => {
    drawMarked()
    showTip()
  })
  state.on((change) => (change === "view" ? redraw() : mark()))
  new ResizeObserver(nextFrame(resize)).observe(element)

  const placeOf = (event: MouseEvent): { readonly x: number; readonly y: number } => {
    const box = picture.getBoundingClientRect()
    return { x: event.clientX - box.left - gutter, y: event.clientY - box.top - 2 }
  }
  const barUnder = (event: MouseEvent): Bar | undefined => {
    const { x, y } = placeOf(event)
    if (x < 0 || x > view.width) return undefined
    const lane = lanes.lanes.find(({ height, top }) => y >= top && y < top + height)
    if (lane === undefined) return undefined
    return barAt(lane, millisAt(view, x), (reach * (view.to - view.from)) / view.width)
  }

  let dragged: { readonly from: number; to: number } | undefined
  picture.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return
    const { x } = placeOf(event)
    dragged = { from: x, to: x }
    picture.setPointerCapture(event.pointerId)
  })
  picture.addEventListener("pointermove", (event) => {
    if (dragged === undefined) return state.point(barUnder(event))
    dragged.to = placeOf(event).x
    const [from, to] = [Math.min(dragged.from, dragged.to), Math.max(dragged.from, dragged.to)]
    if (to - from > reach) state.point(undefined)
    set(drag, { x: from, width: to - from, class: to - from > reach ? "drag on" : "drag" })
  })
  picture.addEventListener("pointerup", (event) => {
    const chosen = dragged
    dragged = undefined
    set(drag, { class: "drag" })
    const width = chosen === undefined ? 0 : Math.abs(chosen.to - chosen.from)
    if (chosen !== undefined && width > reach) {
      const [from, to] = [Math.min(chosen.from, chosen.to), Math.max(chosen.from, chosen.to)]
      state.look(millisAt(view, from), millisAt(view, to))
    } else {
      state.pin(barUnder(event)?.item)
    }
  })
  picture.addEventListener("pointerleave", () => state.point(undefined))
  picture.addEventListener("dblclick", () => state.look(0, state.end))
  element.addEventListener(
    "wheel",
    (event) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX
      if (event.ctrlKey || event.metaKey) {
        state.zoom(Math.exp(event.deltaY * 0.01), millisAt(view, placeOf(event).x))
      } else if (
        state.isZoomed &&
        Math.abs(sideways) > 0 &&
        (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))
      ) {
        state.pan(sideways / view.width)
      } else return
      event.preventDefault()
    },
    { passive: false }
  )
  arrowKeys(element, scroll, state, (spoken) => {
    said.textContent = spoken
  })
  element.addEventListener("blur", () => state.point(undefined))
  return element
}
