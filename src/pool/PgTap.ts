/**
 * A tap on the socket, for the time of one statement: its rows go to a receiver, as the bytes that they come in, and all
 * else goes on to the driver.
 *
 *     unsent --Parse leaves--> preparing --CommandComplete--> copying --ReadyForQuery--> over
 *
 * - What prepares the statement is put in front of what the driver sends, in the same write; its answer is read here and
 *   not heard by the driver. An error in it is the statement's own: the server skips what follows up to the Sync.
 * - Messages are found whatever chunks they come in. A row that does not lie in one chunk is copied once, however large
 *   it is, and the driver's limit for messages does not see it.
 * - When it is told to discard, it takes no more rows and lets the socket flow, also where the receiver has paused it:
 *   the statement's end has to be heard.
 * - It begins between two messages (`PgSocket.atRest`), and from ReadyForQuery on it touches nothing, so that it may be
 *   taken away at any moment after that.
 *
 * @internal
 */
import { PgProtocol } from "@effect/sql-pg"
import { Effect } from "effect"
import { int32 } from "../internal/int32.ts"
import type { Flow, RowReceiver } from "../query/RowReceiver.ts"
import { askForText, encodeTextDescription, uniquelyNamed } from "./PgTextFilter.ts"
import type { Filter, PgSocket } from "./PgWire.ts"

/**
 * A receiver that is also told how many rows it gets.
 *
 * @internal
 */
export interface Receiver extends RowReceiver {
  readonly counted: (rows: number) => void
}

const type = {
  parse: 0x50,
  parseComplete: 0x31,
  bindComplete: 0x32,
  commandComplete: 0x43,
  dataRow: 0x44,
  error: 0x45,
  rowDescription: 0x54,
  ready: 0x5a
} as const

const headerBytes = 5

/** Rows up to this size that come in two chunks are put together in a buffer that is there. */
const scratchBytes = 64 * 1024

/** @internal */
export class PgTap implements Filter, Flow {
  /** How many the receiver got. */
  rows = 0
  described = false
  /** The row that the preparation gave. */
  prepared: ReadonlyArray<string> = []
  /** The statement has ended in a transaction that is open, and has not failed. */
  inTransaction = false
  /** Rows came after it was to take no more. */
  lost = false
  private readonly socket: PgSocket
  private readonly preparation: Buffer
  private readonly receiver: Receiver
  /** The filter that is there always, if there is one: it sees all but rows. */
  private readonly beyond: Filter | undefined
  private phase: "unsent" | "preparing" | "copying" | "over" = "unsent"
  private discarding = false
  private fault: { readonly defect: unknown } | undefined
  private wake: (() => void) | undefined
  /** The beginning of a message whose length is not known yet. */
  private readonly head = Buffer.alloc(headerBytes)
  private headFilled = 0
  private readonly scratch = Buffer.allocUnsafeSlow(scratchBytes)
  /** A message that is to be seen as a whole, as far as it has come. */
  private partial: Buffer | undefined
  private partialFilled = 0
  /** Bytes of the current message that pass through. */
  private passing = 0

  /** `preparation` is a Parse, a Bind and an Execute of a statement that gives one row. */
  constructor(socket: PgSocket, preparation: Buffer, receiver: Receiver) {
    this.socket = socket
    this.preparation = preparation
    this.receiver = receiver
    this.beyond = socket.through
    socket.through = this
  }

  remove(): void {
    this.discard()
    this.socket.through = this.beyond
  }

  /** Never comes back, unless with what the receiver threw. Interrupted, as it is with the statement, it lets go. */
  readonly stopped: Effect.Effect<never> = Effect.callback<never>((resume) => {
    this.wake = () => {
      if (this.fault !== undefined) resume(Effect.die(this.fault.defect))
    }
    this.wake()
    return Effect.sync(this.discard)
  })

  readonly discard = (): void => {
    this.discarding = true
    this.socket.flow()
  }

  readonly pause = (): void => {
    if (!this.discarding) this.socket.hold()
  }

  readonly resume = (): void => {
    if (!this.discarding) this.socket.flow()
  }

  readonly outgoing = (chunk: Buffer): Buffer => {
    const sent = this.beyond === undefined ? chunk : this.beyond.outgoing(chunk)
    if (this.phase !== "unsent" || sent[0] !== type.parse) return sent
    this.phase = "preparing"
    const both = Buffer.concat([this.preparation, sent])
    askForText(both)
    return both
  }

  readonly incoming = (chunk: Buffer): Buffer => {
    try {
      return this.read(chunk)
    } catch (cause) {
      // Where the next message begins is not known any more.
      this.socket.destroy(cause instanceof Error ? cause : undefined)
      return nothing
    }
  }

  private read(chunk: Buffer): Buffer {
    const passed: Array<Buffer> = []
    let at = 0
    while (at < chunk.length) {
      if (this.phase === "over") {
        this.pass(chunk.subarray(at), passed)
        break
      }
      if (this.partial !== undefined) {
        at = this.complete(this.partial, chunk, at, passed)
      } else if (this.passing > 0) {
        const end = Math.min(at + this.passing, chunk.length)
        this.passing -= end - at
        this.pass(chunk.subarray(at, end), passed)
        at = end
      } else if (this.headFilled > 0 || at + headerBytes > chunk.length) {
        at = this.fillHead(chunk, at, passed)
      } else {
        const end = this.phase === "copying" ? this.takeRows(chunk, at) : at
        at = end > at ? end : this.begin(chunk, at, passed)
      }
    }
    const [first, ...rest] = passed
    return first === undefined ? nothing : rest.length === 0 ? first : Buffer.concat(passed)
  }

  /** The rows that lie in the chunk as a whole from here on; gives where they end. */
  private takeRows(chunk: Buffer, from: number): number {
    let rows = 0
    let at = from
    while (chunk[at] === type.dataRow && at + headerBytes <= chunk.length) {
      const end = at + 1 + int32(chunk, at + 1)
      if (end > chunk.length || end <= at) break
      at = end
      rows++
    }
    if (rows > 0) this.give(chunk, from, at, rows)
    return at
  }

  private give(bytes: Buffer, from: number, to: number, rows: number): void {
    if (this.discarding) {
      this.lost = true
      return
    }
    this.rows += rows
    this.attempt(() => {
      this.receiver.counted(rows)
      this.receiver.rows(bytes, from, to)
    })
  }

  /** Thrown into the socket's handler, it would end the process. */
  private attempt(f: () => void): void {
    try {
      f()
    } catch (defect) {
      this.fault = { defect }
      this.discard()
      this.wake?.()
    }
  }

  /** A message that is none of the rows that lie in the chunk; gives where the chunk goes on. */
  private begin(chunk: Buffer, at: number, passed: Array<Buffer>): number {
    const size = sizeOf(chunk, at)
    const end = at + size
    if (!this.wants(chunk[at])) {
      const until = Math.min(end, chunk.length)
      this.passing = end - until
      this.pass(chunk.subarray(at, until), passed)
      return until
    }
    if (end <= chunk.length) {
      this.whole(chunk.subarray(at, end), passed)
      return end
    }
    return this.complete(this.hold(size), chunk, at, passed)
  }

  /** What has to be seen as a whole. */
  private wants(kind: number | undefined): boolean {
    if (kind === type.dataRow || kind === type.ready) return true
    if (this.phase === "copying") return kind === type.rowDescription
    return kind === type.parseComplete || kind === type.bindComplete || kind === type.commandComplete
  }

  private hold(size: number): Buffer {
    this.partialFilled = 0
    this.partial = size <= scratchBytes ? this.scratch.subarray(0, size) : Buffer.allocUnsafeSlow(size)
    return this.partial
  }

  private complete(partial: Buffer, chunk: Buffer, at: number, passed: Array<Buffer>): number {
    const copied = chunk.copy(partial, this.partialFilled, at)
    this.partialFilled += copied
    if (this.partialFilled === partial.length) {
      this.partial = undefined
      this.whole(partial, passed)
    }
    return at + copied
  }

  /** A header that is in two chunks, or that stands at the very end of one. */
  private fillHead(chunk: Buffer, at: number, passed: Array<Buffer>): number {
    const copied = chunk.copy(this.head, this.headFilled, at)
    this.headFilled += copied
    if (this.headFilled < headerBytes) return at + copied
    this.headFilled = 0
    const partial = this.hold(sizeOf(this.head, 0))
    this.partialFilled = this.head.copy(partial)
    return this.complete(partial, chunk, at + copied, passed)
  }

  private whole(message: Buffer, passed: Array<Buffer>): void {
    const kind = message[0]
    if (this.phase === "preparing" && this.isOfPreparation(message)) return
    if (kind === type.dataRow) return this.give(message, 0, message.length, 1)
    if (kind === type.ready) {
      this.phase = "over"
      this.inTransaction = message.at(-1) === openTransaction
    }
    // It may be in the scratch, which the next one is put into.
    this.pass(kind === type.rowDescription ? this.describe(message) : Buffer.from(message), passed)
  }

  private isOfPreparation(message: Buffer): boolean {
    switch (message[0]) {
      case type.dataRow:
        this.prepared = textsOf(message)
        return true
      case type.commandComplete:
        this.phase = "copying"
        return true
      default:
        return message[0] === type.parseComplete || message[0] === type.bindComplete
    }
  }

  /** Tells the columns, and gives what the driver is to hear of them. */
  private describe(message: Buffer): Buffer {
    const [description] = PgProtocol.makeParser({ maxMessageSize: Infinity }).push(message)
    if (description?._tag !== "RowDescription") throw new Error("The server sent a description of rows that is none")
    const columns = uniquelyNamed(description.fields)
    this.described = true
    if (!this.discarding) this.attempt(() => this.receiver.columns(columns, this))
    return this.beyond === undefined ? encodeTextDescription(columns) : Buffer.from(message)
  }

  private pass(bytes: Buffer, passed: Array<Buffer>): void {
    const beyond = this.beyond === undefined ? bytes : this.beyond.incoming(bytes)
    if (beyond.length > 0) passed.push(beyond)
  }
}

/** Of a message, its type and length included. */
const sizeOf = (bytes: Buffer, at: number): number => {
  const length = int32(bytes, at + 1)
  if (length < headerBytes - 1) throw new Error(`The server sent a message of ${length} bytes`)
  return 1 + length
}

const nothing: Buffer = Buffer.alloc(0)

/** The state in a ReadyForQuery: a transaction is open, and has not failed. */
const openTransaction = 0x54

/** The values of a row of which none is NULL. */
const textsOf = (row: Buffer): ReadonlyArray<string> => {
  const texts: Array<string> = []
  for (let at = 7; at < row.length;) {
    const end = at + 4 + int32(row, at)
    texts.push(row.toString("utf8", at + 4, end))
    at = end
  }
  return texts
}
