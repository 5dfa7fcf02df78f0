/**
 * The picture by keyboard: from bar to bar and from lane to lane, and through time.
 *
 * @internal
 */
import type { Bar, Lane } from "./Lanes.ts"
import { barAt, firstAfter } from "./Lanes.ts"
import { spokenOf } from "./Words.ts"
import type { State } from "./State.ts"

/** What the keys do, for people. @internal */
export const keyHelp: ReadonlyArray<readonly [keys: string, what: string]> = [
  ["← →", "bar by bar"],
  ["↑ ↓", "lane by lane"],
  ["Home End", "first, last"],
  ["Enter", "details"],
  ["+ −", "zoom"],
  ["0", "all of it"],
  ["Esc", "close, zoom out"]
]

/** How much of what is shown the page keys move by. */
const page = 0.8

/** @internal */
export const arrowKeys = (
  element: HTMLElement,
  scroll: HTMLElement,
  state: State,
  say: (spoken: string) => void
): void => {
  const lanes = state.lanes.lanes.filter(({ bars }) => bars.length > 0)
  /** Where the keys are, which hovering does not change. */
  let place: { readonly lane: Lane; readonly index: number } | undefined

  const go = (lane: Lane | undefined, index: number): void => {
    const bar = lane?.bars[Math.min(Math.max(index, 0), lane.bars.length - 1)]
    if (lane === undefined || bar === undefined) return
    place = { lane, index: lane.bars.indexOf(bar) }
    state.reveal(bar.from, bar.to)
    const top = lane.top
    if (top < scroll.scrollTop) scroll.scrollTop = top
    else if (top + lane.height + 50 > scroll.scrollTop + scroll.clientHeight) {
      scroll.scrollTop = top + lane.height + 50 - scroll.clientHeight
    }
    state.point(bar)
    say(spokenOf(bar.item, { kind: kindOf(bar), from: bar.from, to: bar.to, worker: -1, attempt: bar.attempt }))
  }

  /** Where the keys are or, at first, the first bar that is shown. */
  const here = (): { readonly lane: Lane; readonly index: number } | undefined => {
    if (place !== undefined) return place
    const lane = lanes[0]
    return lane === undefined ? undefined : { lane, index: firstAfter(lane, state.from) }
  }

  const beside = (by: number): void => {
    const at = here()
    if (at !== undefined) go(at.lane, place === undefined ? at.index : at.index + by)
  }

  const across = (by: number): void => {
    const at = here()
    const bar = at?.lane.bars[at.index]
    if (at === undefined || bar === undefined) return
    const lane = lanes[Math.min(Math.max(lanes.indexOf(at.lane) + by, 0), lanes.length - 1)]
    const next =
      lane === undefined ? undefined : barAt(lane, (Math.max(bar.from, state.from) + Math.min(bar.to, state.to)) / 2)
    if (lane !== undefined && next !== undefined) go(lane, lane.bars.indexOf(next))
  }

  const around = (): number | undefined => {
    const bar = place?.lane.bars[place.index]
    return bar === undefined ? undefined : (bar.from + bar.to) / 2
  }

  const escape = (): void => {
    if (state.pinned !== undefined) state.pin(undefined)
    else if (state.isZoomed) state.look(0, state.end)
    else state.point(undefined)
  }

  const actions: Readonly<Record<string, () => void>> = {
    ArrowRight: () => beside(1),
    ArrowLeft: () => beside(-1),
    ArrowDown: () => across(1),
    ArrowUp: () => across(-1),
    Home: () => go(here()?.lane, 0),
    End: () => go(here()?.lane, Infinity),
    PageDown: () => state.pan(page),
    PageUp: () => state.pan(-page),
    Enter: () => state.pin(state.pointed?.item),
    " ": () => state.pin(state.pointed?.item),
    "+": () => state.zoom(0.5, around()),
    "=": () => state.zoom(0.5, around()),
    "-": () => state.zoom(2, around()),
    "0": () => state.look(0, state.end),
    Escape: escape
  }

  element.addEventListener("keydown", (event) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[event.key]
    if (action === undefined) return
    event.preventDefault()
    action()
  })
  element.addEventListener("focus", () => {
    // Not where a click has just brought the focus.
    if (!element.matches(":focus-visible")) return
    const at = here()
    if (at !== undefined) go(at.lane, at.index)
  })
  state.on((change) => {
    const { pinned } = state
    if (change !== "pinned" || pinned === undefined) return
    for (const lane of lanes) {
      const index = lane.bars.findLastIndex((bar) => bar.item === pinned)
      if (index >= 0) {
        place = { lane, index }
        return
      }
    }
  })
}

const kindOf = ({ fill }: Bar) =>
  fill === "needing" || fill === "waiting" || fill === "retrying" || fill === "cancelling" ? fill : "running"
