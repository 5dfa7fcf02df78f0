/**
 * Shows how far a run is while it runs: on a terminal at its bottom, elsewhere by a line now and then.
 *
 * - On a terminal: a line for each query that runs, or for each target, and a bar for all. It is gone when the run is
 *   over, and what a run prints is what it would print without it.
 * - Into a file or a pipe, under CI and on a terminal that can do no more (`TERM=dumb`): one line every 30 seconds, so
 *   that a log shows that something goes on, and a short run says nothing.
 * - Not at all with `--quiet`, nor where it would be in the middle of a JSON document on the same terminal.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Clock, Effect } from "effect"
import * as Progress from "../query/Progress.ts"
import * as LiveLines from "./LiveLines.ts"
import type { Output } from "./Output.ts"
import type { Whole } from "./ProgressLines.ts"
import { inOneLine, lines, ofRun } from "./ProgressLines.ts"
import type { RunOf, TargetsShape } from "./ProgressOfTargets.ts"
import { ofTargets } from "./ProgressOfTargets.ts"
import type { Screen } from "./Table.ts"
import type { Teller } from "./Teller.ts"

/**
 * How it is shown.
 *
 * @internal
 */
export type Manner = "bar" | "lines" | "none"

/** Who sees it, and what else they see. */
interface Audience {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly json: boolean
  readonly quiet: boolean
  /** Where results go, and where this goes: terminals have a width. */
  readonly stdout: Pick<Screen, "width">
  readonly stderr: Pick<Screen, "width">
}

/** @internal */
export const mannerFor = ({ env, json, quiet, stderr, stdout }: Audience): Manner => {
  const isTerminal = stderr.width !== undefined
  if (quiet || (json && isTerminal && stdout.width !== undefined)) return "none"
  const isCi = !["", "0", "false"].includes(env["CI"] ?? "")
  return isTerminal && !isCi && env["TERM"] !== "dumb" ? "bar" : "lines"
}

/** How often it is drawn, or said. Tenths of seconds are shown. */
const everyMillis = { bar: 100, lines: 30_000 }
/** Of a terminal that does not say. */
const usualHeight = 24
/** How often rows are counted for a line that is said seldom. */
const seldomMillis = 1_000

/**
 * Who is told of what is to be shown.
 *
 * @internal
 */
export interface RunProgress {
  /** How often a run is to tell of its rows; never, where nothing is shown. */
  readonly progressEvery: number | undefined
  /** Of the one run that there is. */
  readonly run: Partial<Teller>
  /** Of the run on a target, which begins. */
  readonly target: (name: string) => Partial<Teller>
  /** Nothing is to be shown any more. */
  readonly over: () => void
}

/**
 * Shows what it is told, until that is over or the scope closes.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function* (
  flags: Pick<Audience, "json" | "quiet">,
  { console, stderr, stdout }: Output,
  targets: TargetsShape | undefined
): Effect.fn.Return<RunProgress, never, Scope.Scope> {
  const manner = mannerFor({ ...flags, env: process.env, stdout, stderr })
  if (manner === "none") return { progressEvery: undefined, run: {}, target: () => ({}), over: () => {} }
  const clock = yield* Clock.Clock
  const now = () => Number(clock.currentTimeNanosUnsafe()) / 1e6
  const startedAt = now()
  const runs = new Map<string, RunOf>()
  let isOver = false
  let live: LiveLines.LiveLines | undefined

  const begin = (name: string): Partial<Teller> => {
    const run: RunOf = { name, begunAt: now(), collector: undefined, counts: undefined }
    runs.set(name, run)
    return {
      begins: (known) => {
        run.collector = Progress.collector(known)
      },
      happened: (event) => run.collector?.add(event),
      over: (_all, { queries }) => {
        run.counts = {
          ended: queries.length,
          failed: queries.filter(({ outcome }) => outcome === "Failed").length,
          skipped: queries.filter(({ outcome }) => outcome === "Skipped").length
        }
        run.collector = undefined
        if (targets === undefined) over()
      }
    }
  }

  const over = (): void => {
    isOver = true
    live?.end()
  }

  const whole = (): Whole | undefined => {
    if (isOver) return undefined
    if (targets !== undefined) return ofTargets([...runs.values()], targets, now(), startedAt)
    const [run] = runs.values()
    return run?.collector === undefined ? undefined : ofRun(run.collector.progress(now()))
  }

  const drawn = Effect.gen(function* () {
    const made = yield* LiveLines.make(process.stderr, process.env)
    live = made
    return () => {
      const shown = whole()
      if (shown === undefined) return
      const [width, height] = process.stderr.getWindowSize()
      made.show(lines(shown, { color: stderr.color, width, height: height || usualHeight }))
    }
  })
  const said = Effect.succeed(() => {
    const shown = whole()
    if (shown !== undefined) console.error(inOneLine(shown))
  })
  yield* Effect.addFinalizer(() => Effect.sync(over))
  const every = Effect.sleep(everyMillis[manner])
  yield* Effect.forkScoped(
    Effect.flatMap(manner === "bar" ? drawn : said, (show) => Effect.forever(Effect.andThen(every, Effect.sync(show))))
  )
  const progressEvery = Math.min(everyMillis[manner], seldomMillis)
  return { progressEvery, run: targets === undefined ? begin("") : {}, target: begin, over }
})
