/** A fault in force: whom it is meant for, when it strikes, and how often it has. */
import type { Lasting } from "./FaultLane.ts"
import type { Fault, Match, Message, On, Rule } from "./FaultScript.ts"
import { choose, fromClient, printFault, printMatch, selector } from "./FaultScript.ts"

export interface InjectOptions {
  /** "all", but for `cut` and `halfOpen` at once "open", and for `answer` at once "coming". */
  readonly on?: On | undefined
  /** Strikes when such a message is about to pass. */
  readonly before?: Match | undefined
  /** Strikes when such a message has passed. */
  readonly after?: Match | undefined
  /** How often it strikes in all: once at a message, and otherwise each connection. */
  readonly times?: number | undefined
  /** The part of the occasions, from 0 to 1, at which it strikes. The seed chooses. */
  readonly chance?: number | undefined
  /** At a message, whom it hits: the connection of that message, or everything, as when the network goes. */
  readonly hits?: "connection" | "everything" | undefined
}

/** The first time that a fault struck. */
export interface Struck {
  /** None for `refuse` at once. */
  readonly connection: number | undefined
  readonly message: Message | undefined
}

export class FaultInjection implements Lasting {
  readonly id: number
  readonly fault: Fault
  readonly text: string
  /** What strikes it, unless that is the acceptance of a connection. */
  readonly rule: Omit<Rule, "act"> | undefined
  readonly hitsEverything: boolean
  readonly listeners = new Set<(struck: Struck) => void>()
  count = 0
  first: Struck | undefined
  lifted = false
  private readonly on: On
  private readonly times: number
  private readonly chance: number
  private readonly seed: number
  /** The last connection that was accepted before it. */
  private readonly since: number

  constructor(id: number, seed: number, since: number, fault: Fault, options: InjectOptions) {
    const atMessage = options.before ?? options.after
    const on = options.on ?? (atMessage === undefined ? targetAtOnce(fault) : "all")
    const match = atMessage ?? firstOccasion(fault, on)
    this.id = id
    this.seed = seed
    this.since = since
    this.fault = fault
    this.on = on
    this.times = options.times ?? (atMessage === undefined ? Infinity : 1)
    this.chance = options.chance ?? 1
    this.hitsEverything = atMessage !== undefined && options.hits === "everything"
    this.rule = match && {
      place: options.after === undefined ? "before" : "after",
      match,
      hits: selector(match, (connection, count) => this.isFor(connection) && this.chooses(connection, count))
    }
    this.text = [
      `#${id} ${printFault(fault)}`,
      this.rule === undefined ? "" : ` ${this.rule.place} ${printMatch(this.rule.match)}`,
      ` on ${this.on}`,
      this.times === Infinity ? "" : `, times ${this.times}`,
      this.chance === 1 ? "" : `, chance ${this.chance}`,
      this.hitsEverything ? ", hits everything" : ""
    ].join("")
  }

  /** Whether it strikes, or can strike, a connection as soon as both are there. */
  strikesAtOnce(connection: number): boolean {
    return this.rule === undefined && this.isFor(connection) && this.chooses(connection, 0)
  }

  /** Whether it has struck as often as it may. */
  get spent(): boolean {
    return this.lifted || this.count >= this.times
  }

  strike(struck: Struck): void {
    this.count++
    this.first ??= struck
    for (const listener of this.listeners) listener(struck)
  }

  private isFor(connection: number): boolean {
    if (this.on === "all") return true
    if (this.on === "open") return connection <= this.since
    return this.on === "coming" ? connection > this.since : connection === this.on
  }

  private chooses(connection: number, count: number): boolean {
    return this.chance === 1 || choose(this.seed, this.id, connection, count) < this.chance
  }
}

const targetAtOnce = ({ _tag }: Fault): On =>
  _tag === "cut" || _tag === "halfOpen" ? "open" : _tag === "answer" ? "coming" : "all"

/** Where a fault strikes that cannot strike a connection as soon as it is there. */
const firstOccasion = ({ _tag }: Fault, on: On): Match | undefined => {
  if (_tag === "keepCancel") return fromClient("CancelRequest")
  return _tag === "answer" && (on === "coming" || on === "all") ? fromClient("StartupMessage") : undefined
}
