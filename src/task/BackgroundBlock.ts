/**
 * Who blocks the event loop: what is seen of it in the middle of a block, and a line that tells.
 *
 * A block is looked at several times, and may be of more than one cause: a hundred fibers that each take 5 ms in one turn.
 * The one that is seen most often is told of.
 *
 * @internal
 */
import { Context, Fiber, References, Tracer } from "effect"

/** @internal */
export interface Sight {
  /** Of what, in words. */
  readonly who: string
  /** `function (file:line:column)`, with `file` from where the program was started. */
  readonly place: string | undefined
  /** From the innermost call. */
  readonly stack: ReadonlyArray<string>
}

/**
 * What runs now, below the call with this name in its place.
 *
 * @internal
 */
export const look = (below: string): Sight | undefined => {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = mostFrames
  const { stack } = new Error()
  Error.stackTraceLimit = stackTraceLimit
  const frames = framesOf(stack ?? "", below, globalThis.process?.cwd())
  // It is asked between two turns of the loop: the block is over.
  if (frames.length === 0) return undefined
  return { who: whoOf(Fiber.getCurrent()), place: frames.find(isOfProgram), stack: frames }
}

const mostFrames = 50

/**
 * The frames of a stack that come after the one which was evaluated.
 *
 * @internal
 */
export const framesOf = (stack: string, below: string, startedIn: string | undefined): ReadonlyArray<string> => {
  const lines = stack.split("\n")
  return lines
    .slice(lines.findIndex((line) => line.includes(below)) + 1)
    .flatMap((line) => /^\s+at (?:async )?(.+)$/.exec(line)?.[1] ?? [])
    .map((frame) => {
      const plain = frame.replace("file://", "")
      return startedIn === undefined ? plain : plain.replace(`${startedIn}/`, "")
    })
}

/** Of whoever wrote the program, or a library: not of Node, nor of the fibers' own machinery. */
const isOfProgram = (frame: string): boolean =>
  /:\d+:\d+\)?$/.test(frame) && !/(?:^|\()node:|\/node_modules\/effect\//.test(frame)

/** A task by its name and id, which its attempts annotate their log with; or a span; or a fiber. */
const whoOf = (fiber: Fiber.Fiber<unknown, unknown> | undefined): string => {
  if (fiber === undefined) return "code that runs in no fiber"
  const { task, taskId } = fiber.getRef(References.CurrentLogAnnotations)
  if (task !== undefined) return `task "${String(task)}" (${String(taskId)})`
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return span?._tag === "Span" ? `span "${span.name}"` : `fiber #${fiber.id}`
}

/**
 * What has been seen in one block.
 *
 * @internal
 */
export class Sights {
  private readonly counts = new Map<string, { readonly sight: Sight; count: number }>()

  add(sight: Sight): void {
    const key = `${sight.who} ${sight.place}`
    const known = this.counts.get(key)
    if (known === undefined) this.counts.set(key, { sight, count: 1 })
    else known.count++
  }

  clear(): void {
    this.counts.clear()
  }

  get most(): Sight | undefined {
    let most: { readonly sight: Sight; readonly count: number } | undefined
    for (const one of this.counts.values()) if (one.count > (most?.count ?? 0)) most = one
    return most?.sight
  }
}

/** @internal */
export const lineOf = (millis: number, sight: Sight | undefined): string => {
  const blocked = `The event loop was blocked for ${Math.round(millis)} ms`
  if (sight === undefined) return `${blocked}, and nobody was seen to do so`
  return `${blocked} by ${sight.who}${sight.place === undefined ? "" : `, in ${sight.place}`}`
}
