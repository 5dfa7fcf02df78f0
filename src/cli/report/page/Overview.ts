/**
 * The strip above the picture: over the whole run, how many queries run and how many wait, and which part of it the
 * picture shows. Dragging across the strip chooses another part, dragging what is shown moves it.
 *
 * @internal
 */
import { count } from "./Words.ts"
import type { View } from "./Axis.ts"
import { millisAt, xOf } from "./Axis.ts"
import { areaOf, countsOf } from "./Counts.ts"
import { set, svg } from "./Element.ts"
import type { Kind } from "./PageData.ts"
import type { State } from "./State.ts"

const bands: ReadonlyArray<{
  readonly name: string
  readonly kinds: ReadonlySet<Kind>
  readonly top: number
  readonly height: number
}> = [
  { name: "running", kinds: new Set<Kind>(["running", "cancelling"]), top: 2, height: 18 },
  { name: "waiting", kinds: new Set<Kind>(["waiting", "needing", "retrying"]), top: 24, height: 18 }
]

const height = 44

/** @internal */
export const overview = (state: State) => {
  const { run } = state
  const element = svg("svg", { class: "overview", height, "aria-hidden": "true" })
  const window = svg("rect", { class: "window", y: 0.5, height: height - 1, rx: 2 })
  const shade = svg("path", { class: "shade" })
  let view: View = { from: 0, to: state.end, width: 1 }
  let left = 0

  const showWindow = (): void => {
    const [from, to] = [xOf(view, state.from), xOf(view, state.to)]
    set(window, { x: from + 0.5, width: Math.max(to - from - 1, 2), class: state.isZoomed ? "window on" : "window" })
    set(shade, { d: state.isZoomed ? `M0 0H${from}V${height}H0zM${to} 0H${view.width}V${height}H${to}z` : "" })
  }

  const resize = (gutter: number, width: number): void => {
    left = gutter
    view = { from: 0, to: state.end, width }
    set(element, { width: gutter + width })
    const plot = svg("g", { transform: `translate(${gutter} 0)` })
    const labels: Array<SVGElement> = []
    for (const { height: high, kinds, name, top } of bands) {
      const counted = countsOf(run.items, kinds, view)
      plot.append(
        svg("rect", { class: "band", y: top, width, height: high }),
        svg("path", { class: `area ${name}`, d: areaOf(counted, counted.most, high), transform: `translate(0 ${top})` })
      )
      labels.push(svg("text", { class: "lane", x: gutter - 8, y: top + high / 2 }, `${count(counted.most)} ${name}`))
    }
    plot.append(shade, window)
    element.replaceChildren(...labels, plot)
    showWindow()
  }

  const xIn = (event: PointerEvent): number => event.clientX - element.getBoundingClientRect().left - left

  element.addEventListener("pointerdown", (event) => {
    const start = millisAt(view, xIn(event))
    const [from, to] = [state.from, state.to]
    const moves = state.isZoomed && start >= from && start <= to
    element.setPointerCapture(event.pointerId)
    const move = (next: PointerEvent): void => {
      const now = millisAt(view, xIn(next))
      if (moves) state.look(from + now - start, to + now - start)
      else if (Math.abs(xOf(view, now) - xOf(view, start)) > 3) state.look(Math.min(start, now), Math.max(start, now))
    }
    element.addEventListener("pointermove", move)
    element.addEventListener("lostpointercapture", () => element.removeEventListener("pointermove", move), {
      once: true
    })
  })

  state.on((change) => {
    if (change === "view") showWindow()
  })
  return { element, resize }
}
