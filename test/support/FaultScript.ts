/**
 * Faults, and the messages at which they happen, as values that can be printed and replayed.
 *
 * Every random choice is a function of the seed, the fault, the connection and how many choices were made there before,
 * so a fault does the same thing to the third connection in every run in which that one talks alike, whatever the others
 * are doing.
 */
import type { BackendType, Direction, FrontendType } from "./PgFrames.ts"
import { backend, directions, frontend } from "./PgFrames.ts"

/** The direction, or both. */
export type Way = Direction | "both"

/** How the ends of a connection learn that it is over: by a TCP reset, or by an orderly end of the data. */
export type Ending = "reset" | "end"

export type Fault =
  | { readonly _tag: "cut"; readonly how: Ending }
  | { readonly _tag: "freeze"; readonly way: Way }
  | { readonly _tag: "delay"; readonly millis: readonly [number, number]; readonly way: Way }
  | { readonly _tag: "throttle"; readonly bytesPerSecond: number; readonly way: Way }
  | { readonly _tag: "halfOpen"; readonly gone: "server" | "client" }
  | { readonly _tag: "answer"; readonly severity: string; readonly code: string; readonly message: string }
  | { readonly _tag: "keepCancel"; readonly passing: boolean }
  | { readonly _tag: "refuse" }

const expected = (what: string, got: unknown): Error => new Error(`Expected ${what}, got ${String(got)}`)

/**
 * Ends the connection on both sides, by a reset unless said otherwise. At once it hits the open connections.
 *
 * A reset discards what the peer's system has no room for, of a message beyond some ten kilobytes perhaps a part: to
 * cut after such a message, say `how: "end"`.
 */
export const cut = (options?: { readonly how?: Ending | undefined }): Fault => ({
  _tag: "cut",
  how: options?.how ?? "reset"
})

/**
 * Says nothing any more, and holds what comes until the fault is lifted, up to a mebibyte per direction; beyond that
 * the sender's writes block, as on a network that has gone. New connections are accepted, and held as well: with
 * `on: "coming"`, a server that accepts and never answers.
 */
export const freeze = (options?: { readonly way?: Way | undefined }): Fault => ({
  _tag: "freeze",
  way: options?.way ?? "both"
})

/** Delays each chunk, by a fixed time or by one between two bounds that the seed chooses. Order is kept. */
export const delay = (options: {
  readonly millis: number | readonly [number, number]
  readonly way?: Way | undefined
}): Fault => {
  const millis = typeof options.millis === "number" ? ([options.millis, options.millis] as const) : options.millis
  if (!(millis[0] >= 0 && millis[0] <= millis[1])) throw expected("a delay from 0, or from one to a longer one", millis)
  return { _tag: "delay", millis, way: options.way ?? "both" }
}

/** Lets no more bytes pass per second, in each direction. */
export const throttle = (options: { readonly bytesPerSecond: number; readonly way?: Way | undefined }): Fault => {
  if (!(options.bytesPerSecond > 0)) throw expected("`bytesPerSecond` to be more than 0", options.bytesPerSecond)
  return { _tag: "throttle", bytesPerSecond: options.bytesPerSecond, way: options.way ?? "both" }
}

/**
 * One side is gone and the other is not told: what it sends is lost. Lifted, it is told by a reset. At once it hits the
 * open connections.
 */
export const halfOpen = (options: { readonly gone: "server" | "client" }): Fault => ({
  _tag: "halfOpen",
  gone: options.gone
})

/**
 * Answers in the server's place with an ErrorResponse, and ends the connection. Unless said otherwise it answers the
 * startup of connections to come, which then do not reach the server; with `on: "open"` it ends open sessions, as a
 * server does that shuts down.
 */
export const answer = (error: {
  /** SQLSTATE, such as "53300" (too many connections) or "57P03" (starting up). */
  readonly code: string
  readonly message?: string | undefined
  /** "FATAL" */
  readonly severity?: string | undefined
}): Fault => ({
  _tag: "answer",
  code: error.code,
  message: error.message ?? `a fault that was injected: ${error.code}`,
  severity: error.severity ?? "FATAL"
})

/**
 * Keeps each CancelRequest until `deliverCancels`, while its sender is told at once that it was taken. With `passing`
 * it reaches the server as well, and what is kept is a duplicate.
 */
export const keepCancel = (options?: { readonly passing?: boolean | undefined }): Fault => ({
  _tag: "keepCancel",
  passing: options?.passing ?? false
})

/** Does not listen any more, so that connections to come are refused. */
export const refuse = (): Fault => ({ _tag: "refuse" })

/** A message, or a first packet, on its way. */
export interface Message {
  /** The number of its connection. */
  readonly connection: number
  readonly direction: Direction
  readonly type: string
  /** How many of its type there were on its connection so far, itself included. */
  readonly count: number
  /** The text of the statement it belongs to, also where only a name is sent; of a Sync, the one before it. */
  readonly statement: string | undefined
}

interface Details {
  /** A text that the statement contains, or an expression that it fits. */
  readonly statement?: string | RegExp | undefined
  /** Which of those that are like this, from 1, on each connection since the pattern came into force. */
  readonly nth?: number | undefined
}

/** What a message has to be like. */
export type Pattern = Details &
  (
    | { readonly direction: "toServer"; readonly type: FrontendType }
    | { readonly direction: "toClient"; readonly type: BackendType }
  )

export type Match = Pattern | ((message: Message) => boolean)

/** A message of the client. */
export const fromClient = (type: FrontendType, details?: Details): Pattern => ({
  direction: "toServer",
  type,
  ...details
})

/** A message of the server. */
export const fromServer = (type: BackendType, details?: Details): Pattern => ({
  direction: "toClient",
  type,
  ...details
})

/** Which connections: those open now, those to come, both, or one by its number. */
export type On = "open" | "coming" | "all" | number

/** A number from 0 to below 1 that follows from a seed and the place of a choice; two rounds of MurmurHash3's mixer. */
export const choose = (seed: number, ...place: ReadonlyArray<number>): number => {
  let hash = seed | 0
  for (const part of [...place, place.length]) {
    hash = Math.imul(hash ^ part, 0x9e3779b1)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    hash ^= hash >>> 16
  }
  return (hash >>> 0) / 2 ** 32
}

/** Watches for messages, and acts on those that fit. */
export interface Rule {
  readonly place: "before" | "after"
  readonly match: Match
  /** Whether to act on a message that has come so far. */
  readonly hits: (message: Message) => boolean
  readonly act: (message: Message) => void
}

const fits = (match: Match, message: Message): boolean => {
  if (typeof match === "function") return match(message)
  const { direction, statement, type } = match
  if (message.direction !== direction || message.type !== type) return false
  if (statement === undefined) return true
  if (message.statement === undefined) return false
  return typeof statement === "string" ? message.statement.includes(statement) : statement.test(message.statement)
}

/** Whether a message fits, is the nth of those on its connection, and is chosen. */
export const selector = (
  match: Match,
  chosen: (connection: number, count: number) => boolean = () => true
): ((message: Message) => boolean) => {
  const nth = typeof match === "function" ? undefined : match.nth
  const counts = new Map<number, number>()
  return (message) => {
    if (!fits(match, message)) return false
    const count = (counts.get(message.connection) ?? 0) + 1
    counts.set(message.connection, count)
    return (nth === undefined || count === nth) && chosen(message.connection, count)
  }
}

/** The rules that hold, found by the type of a message: without one for it, a message costs a look into a table. */
export class Rules {
  private readonly rules = new Set<Rule>()
  private readonly watched = { toServer: new Uint8Array(256), toClient: new Uint8Array(256) }

  add(rule: Rule): void {
    this.rules.add(rule)
    this.watch(rule)
  }

  remove(rule: Rule): void {
    this.rules.delete(rule)
    for (const direction of directions) this.watched[direction].fill(0)
    for (const left of this.rules) this.watch(left)
  }

  isWatched(direction: Direction, code: number): boolean {
    return this.watched[direction][code] === 1
  }

  /** The rules that a message meets: looked at before it passes, or after. */
  meeting(place: "before" | "after", message: Message): ReadonlyArray<Rule> {
    return [...this.rules].filter((rule) => rule.place === place && rule.hits(message))
  }

  private watch({ match }: Rule): void {
    for (const direction of directions) {
      if (typeof match === "function") this.watched[direction].fill(1)
      else if (match.direction === direction) this.watched[direction][codeOf(match)] = 1
    }
  }
}

const codeOf = (pattern: Pattern): number =>
  pattern.direction === "toServer" ? frontend[pattern.type] : backend[pattern.type]

/** As in the script that `describe` prints. */
export const printFault = (fault: Fault): string => {
  const { _tag, ...rest } = fault
  return [_tag, ...Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(" ")
}

export const printMatch = (match: Match): string => {
  if (typeof match === "function") return String(match)
  const { direction, nth, statement, type } = match
  return [
    nth === undefined ? "" : `#${nth} `,
    `${type} ${direction}`,
    statement === undefined ? "" : ` of ${typeof statement === "string" ? JSON.stringify(statement) : statement}`
  ].join("")
}
