/**
 * What passed a proxy, and which faults happened to it: the last of it, small enough to be printed when a test fails.
 *
 * Equal neighbours are counted rather than repeated, so a result of a million rows is one entry.
 */
import type { Direction } from "./PgFrames.ts"
import { directions, nameOf } from "./PgFrames.ts"

/** A message that passed, or several of its kind in a row. */
interface Passed {
  /** Milliseconds since the proxy was made. */
  readonly atMillis: number
  readonly connection: number
  readonly direction: Direction
  readonly type: string
  readonly times: number
  /** The statement of an Execute or a Query, the SQLSTATE of an error, the process id of a CancelRequest. */
  readonly note: string | undefined
}

/** Something that happened otherwise. */
interface Happened {
  readonly atMillis: number
  readonly connection: number
  readonly event: string
}

export type Entry = Passed | Happened

interface Slot {
  atMillis: number
  connection: number
  direction: Direction | undefined
  code: number
  times: number
  note: string | undefined
}

const capacity = 400
const noteLength = 60

export class FaultLog {
  private readonly startedAt = performance.now()
  // Filled in place: a message that passes makes no garbage.
  private readonly slots: ReadonlyArray<Slot> = Array.from({ length: capacity }, () => ({
    atMillis: 0,
    connection: 0,
    direction: undefined,
    code: 0,
    times: 0,
    note: undefined
  }))
  private written = 0
  private readonly counts = { toServer: new Float64Array(256), toClient: new Float64Array(256) }

  passed(connection: number, direction: Direction, code: number, note: string | undefined): void {
    this.counts[direction][code] = (this.counts[direction][code] ?? 0) + 1
    const last = this.slots[(this.written - 1) % capacity]
    if (
      last !== undefined &&
      last.code === code &&
      last.connection === connection &&
      last.direction === direction &&
      last.note === note
    ) {
      last.times++
    } else {
      this.write(connection, direction, code, note)
    }
  }

  happened(connection: number, event: string): void {
    this.write(connection, undefined, 0, event)
  }

  /** How many messages passed, by their type. */
  totals(direction: Direction): Readonly<Record<string, number>> {
    const counted = Array.from(this.counts[direction].entries()).filter(([, count]) => count > 0)
    return Object.fromEntries(counted.map(([code, count]) => [nameOf(direction, code), count]))
  }

  entries(): ReadonlyArray<Entry> {
    const first = Math.max(0, this.written - capacity)
    return Array.from({ length: this.written - first }, (_, index) => this.slots[(first + index) % capacity]).flatMap(
      (slot) => (slot === undefined ? [] : [entryOf(slot)])
    )
  }

  /** A line for each run of messages that went one way on one connection. */
  print(): ReadonlyArray<string> {
    const lines: Array<string> = []
    let burst = ""
    for (const entry of this.entries()) {
      const head = `${String(entry.connection).padStart(3)} ${"event" in entry ? "!" : arrows[entry.direction]}`
      const text = "event" in entry ? entry.event : printPassed(entry)
      if (head === burst && !("event" in entry)) {
        lines.push(`${lines.pop()} ${text}`)
      } else {
        lines.push(`${entry.atMillis.toFixed(1).padStart(9)} ms ${head} ${text}`)
        burst = head
      }
    }
    return lines
  }

  private write(connection: number, direction: Direction | undefined, code: number, note: string | undefined): void {
    const slot = this.slots[this.written++ % capacity]
    if (slot === undefined) return
    slot.atMillis = performance.now() - this.startedAt
    slot.connection = connection
    slot.direction = direction
    slot.code = code
    slot.times = 1
    slot.note = note
  }
}

const arrows: Readonly<Record<Direction, string>> = { toServer: ">", toClient: "<" }

const entryOf = ({ atMillis, code, connection, direction, note, times }: Slot): Entry =>
  direction === undefined
    ? { atMillis, connection, event: note ?? "" }
    : { atMillis, connection, direction, type: nameOf(direction, code), times, note }

const printPassed = ({ note, times, type }: Passed): string => {
  const text = note?.replaceAll(/\s+/g, " ").trim()
  const shown = text === undefined ? "" : ` "${text.length > noteLength ? `${text.slice(0, noteLength)}…` : text}"`
  return `${type}${times > 1 ? `×${times}` : ""}${shown}`
}

/** How many messages passed, of both directions, in one line. */
export const printTotals = (log: FaultLog): string =>
  directions
    .map((direction) => {
      const counted = Object.entries(log.totals(direction)).map(([type, count]) => `${type} ${count}`)
      return `${arrows[direction]} ${counted.join(", ") || "nothing"}`
    })
    .join("; ")
