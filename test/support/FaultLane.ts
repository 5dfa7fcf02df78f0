/**
 * One direction of a connection through the proxy.
 *
 *     source --data--> queue (frozen, delayed, throttled) --> messages, rules --> sink
 *
 * - What waits in the queue has not been looked at: a message is seen, counted and logged when it passes.
 * - A rule acts exactly between two messages: what comes before has been handed to the sink, what comes after goes back
 *   to the queue, where the fault decides its fate. A message is shown to the rules once, however often it is held.
 * - The end of the data, or a reset, waits in the queue in its turn.
 * - The source is not read while the sink is full, or while more than `heldBound` waits.
 */
import type { Socket } from "node:net"
import type { FaultLog } from "./FaultLog.ts"
import type { Ending, Fault, Message, Rule, Rules } from "./FaultScript.ts"
import { choose } from "./FaultScript.ts"
import type { Direction } from "./PgFrames.ts"
import { backend, FrameReader, frontend, nameOf, sqlStateOf } from "./PgFrames.ts"

/** What a lane has to know of its connection. */
export interface LaneOwner {
  readonly id: number
  readonly seed: number
  readonly rules: Rules
  readonly log: FaultLog
  readonly source: (direction: Direction) => Socket | undefined
  /** The socket that bytes go to, or undefined once there is none. The one to the server is opened when it is needed. */
  readonly sink: (direction: Direction) => Socket | undefined
  /** The same, without opening it. */
  readonly openSink: (direction: Direction) => Socket | undefined
  /** Takes note of a message before it passes; gives the statement it is about. */
  readonly begin: (lane: FaultLane, bytes: Buffer, at: number) => string | undefined
  /** The source has ended and all of its data has passed. */
  readonly finish: (direction: Direction, how: Ending) => void
  readonly changed: () => void
}

/** A fault that lasts, by the number of its injection. */
export interface Lasting {
  readonly id: number
  readonly fault: Fault
}

interface Item {
  readonly data: Buffer | Ending
  readonly dueAt: number
}

// About what the system's own buffers take in on a network that has gone.
const heldBound = 1024 * 1024

// A throttled lane passes this much at a time: fine enough for a trickle, coarse enough for a timer.
const sliceMillis = 20

export class FaultLane {
  readonly direction: Direction
  readonly reader: FrameReader
  passedBytes = 0
  frozen = false
  /** The source has ended, whether or not the sink has been told. */
  sourceEnded = false
  /** Nothing passes any more: what comes is lost. */
  private muted = false
  private readonly owner: LaneOwner
  private readonly lasting = new Set<Lasting>()
  private delays: ReadonlyArray<Lasting> = []
  private bytesPerSecond = Infinity
  private choices = 0
  private queue: Array<Item> = []
  private queuedBytes = 0
  private throttledUntil = 0
  private timer: NodeJS.Timeout | undefined
  private draining = false
  /** The start of a message of which more must come before it can be looked at. */
  private incomplete: Array<Buffer> = []
  private incompleteBytes = 0
  private neededBytes = 0
  /** Of the message that is passing. */
  private remaining = 0
  private note: string | undefined
  private message: Message | undefined
  private readonly counts = new Float64Array(256)

  constructor(owner: LaneOwner, direction: Direction) {
    this.owner = owner
    this.direction = direction
    this.reader = new FrameReader(direction)
  }

  /** What came and has not passed. */
  get heldBytes(): number {
    return this.queuedBytes + this.incompleteBytes
  }

  arrive(data: Buffer | Ending): void {
    if (typeof data === "string") this.sourceEnded = true
    if (this.muted) {
      // Nobody else would close the socket of one who has said that he is done.
      if (typeof data === "string") this.owner.source(this.direction)?.end()
      return
    }
    this.queue.push({ data, dueAt: this.delays.length === 0 ? 0 : performance.now() + this.chooseDelay(this.delays) })
    this.queuedBytes += sizeOf(data)
    this.drain()
  }

  impede(by: Lasting): void {
    if (this.lasting.has(by)) return
    this.lasting.add(by)
    this.weigh()
    // A delay that began at a message delays that message, which is back in the queue and already due.
    const [head, ...rest] = this.queue
    if (by.fault._tag === "delay" && head !== undefined) {
      const dueAt = Math.max(head.dueAt, performance.now() + this.chooseDelay([by]))
      this.queue = [{ ...head, dueAt }, ...rest]
    }
  }

  relieve(by: Lasting): void {
    if (!this.lasting.delete(by)) return
    this.weigh()
    if (by.fault._tag === "delay" && this.delays.length === 0) {
      this.queue = this.queue.map(({ data }) => ({ data, dueAt: 0 }))
    }
    this.throttledUntil = 0
    this.drain()
  }

  /** Loses what waits and whatever comes. */
  mute(): void {
    this.muted = true
    this.queue = []
    this.queuedBytes = 0
    this.incomplete = []
    this.incompleteBytes = 0
    clearTimeout(this.timer)
    this.flow()
  }

  /** Reads from the source or not, as there is room. */
  flow(): void {
    const source = this.owner.source(this.direction)
    if (source === undefined || source.destroyed) return
    const sink = this.owner.openSink(this.direction)
    const isFull = !this.muted && (this.queuedBytes > heldBound || sink?.writableNeedDrain === true)
    if (isFull === source.isPaused()) return
    if (isFull) source.pause()
    else source.resume()
  }

  private weigh(): void {
    const faults = [...this.lasting].map(({ fault }) => fault)
    this.frozen = faults.some(({ _tag }) => _tag === "freeze")
    this.delays = [...this.lasting].filter(({ fault }) => fault._tag === "delay")
    this.bytesPerSecond = Math.min(
      ...faults.map((fault) => (fault._tag === "throttle" ? fault.bytesPerSecond : Infinity))
    )
  }

  private chooseDelay(delays: ReadonlyArray<Lasting>): number {
    const choice = this.choices++
    const way = this.direction === "toServer" ? 0 : 1
    return delays.reduce((sum, { fault, id }) => {
      if (fault._tag !== "delay") return sum
      const [least, most] = fault.millis
      return sum + least + (most - least) * choose(this.owner.seed, id, this.owner.id, way, choice)
    }, 0)
  }

  private drain(): void {
    // A rule that acts, or whoever waits for a message, may come back here.
    if (this.draining) return
    this.draining = true
    while (!this.frozen && !this.muted) {
      const head = this.queue.shift()
      if (head === undefined) break
      const dueAt = Math.max(head.dueAt, this.throttledUntil)
      const waitMillis = dueAt === 0 ? 0 : dueAt - performance.now()
      if (waitMillis > 0) {
        this.queue.unshift(head)
        this.wakeAfter(waitMillis)
        break
      }
      this.queuedBytes -= sizeOf(head.data)
      if (typeof head.data === "string") this.end(head.data)
      else this.pass(this.slice(head.data, head.dueAt))
    }
    this.draining = false
    this.flow()
    this.owner.changed()
  }

  private wakeAfter(millis: number): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.drain(), Math.ceil(millis))
  }

  /** What may pass now; the rest goes back. */
  private slice(bytes: Buffer, dueAt: number): Buffer {
    if (this.bytesPerSecond === Infinity) return bytes
    const size = Math.max(1, Math.floor((this.bytesPerSecond * sliceMillis) / 1000))
    const passing = bytes.subarray(0, size)
    this.putBack(bytes.subarray(size), dueAt)
    this.throttledUntil = performance.now() + (passing.length / this.bytesPerSecond) * 1000
    return passing
  }

  private putBack(data: Buffer, dueAt: number): void {
    if (this.muted || data.length === 0) return
    this.queue.unshift({ data, dueAt })
    this.queuedBytes += data.length
  }

  private end(how: Ending): void {
    for (const bytes of this.incomplete) this.write(bytes)
    this.incomplete = []
    this.incompleteBytes = 0
    this.owner.finish(this.direction, how)
  }

  private pass(chunk: Buffer): void {
    const bytes = this.complete(chunk)
    if (bytes === undefined) return
    /** Where what has not been handed on begins. */
    let from = 0
    let at = 0
    while (at < bytes.length) {
      if (this.remaining === 0) {
        const reading = this.reader.read(bytes, at)
        if (reading === "incomplete") this.keep(bytes.subarray(at))
        if (reading === "unread") at = bytes.length
        if (reading !== "message") break
        this.begin(bytes, at)
        if (this.meet("before", bytes, from, at)) return
      }
      const taken = Math.min(this.remaining, bytes.length - at)
      this.remaining -= taken
      at += taken
      if (this.remaining === 0) {
        this.owner.log.passed(this.owner.id, this.direction, this.reader.code, this.note)
        if (this.meet("after", bytes, from, at)) return
      }
    }
    this.write(from === 0 && at === bytes.length ? bytes : bytes.subarray(from, at))
  }

  /** Lets the rules act on the message. True: the rest of the bytes went back to the queue. */
  private meet(place: Rule["place"], bytes: Buffer, from: number, at: number): boolean {
    if (this.message === undefined) return false
    const { message } = this
    const rules = this.owner.rules.meeting(place, message)
    if (rules.length === 0) return false
    this.write(bytes.subarray(from, at))
    this.putBack(bytes.subarray(at), 0)
    for (const rule of rules) rule.act(message)
    return true
  }

  private begin(bytes: Buffer, at: number): void {
    const { reader } = this
    const { code } = reader
    const statement = this.owner.begin(this, bytes, at)
    const count = (this.counts[code] ?? 0) + 1
    this.counts[code] = count
    this.remaining = reader.size
    this.note = noteOf(this.direction, code, statement, bytes, at)
    this.message = this.owner.rules.isWatched(this.direction, code)
      ? { connection: this.owner.id, direction: this.direction, type: nameOf(this.direction, code), count, statement }
      : undefined
  }

  private keep(bytes: Buffer): void {
    this.incomplete = [bytes]
    this.incompleteBytes = bytes.length
    this.neededBytes = this.reader.needed
  }

  /** The chunk with what was kept in front of it, or undefined while that is not enough. */
  private complete(chunk: Buffer): Buffer | undefined {
    if (this.incomplete.length === 0) return chunk
    this.incomplete.push(chunk)
    this.incompleteBytes += chunk.length
    if (this.incompleteBytes < this.neededBytes) return undefined
    const bytes = Buffer.concat(this.incomplete)
    this.incomplete = []
    this.incompleteBytes = 0
    return bytes
  }

  private write(bytes: Buffer): void {
    if (bytes.length === 0 || this.muted) return
    this.passedBytes += bytes.length
    this.owner.sink(this.direction)?.write(bytes)
  }
}

const sizeOf = (data: Buffer | Ending): number => (typeof data === "string" ? 0 : data.length)

const noteOf = (
  direction: Direction,
  code: number,
  statement: string | undefined,
  bytes: Buffer,
  at: number
): string | undefined => {
  if (direction === "toClient") return code === backend.ErrorResponse ? sqlStateOf(bytes, at + 5) : undefined
  if (code === frontend.Execute || code === frontend.Query) return statement
  return code === frontend.CancelRequest ? `process ${bytes.readUInt32BE(at + 8)}` : undefined
}
