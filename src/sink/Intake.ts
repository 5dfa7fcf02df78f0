/**
 * Between a socket that gives rows as they come and a file that takes bytes as it can: encodes what comes, and lets the
 * server wait while the file is behind.
 *
 *     socket --rows--> encoder --bytes--> ready --next--> whoever writes
 *        ^                                  |
 *        +-------- paused: enough is ready -+
 *
 * - Memory is bounded by what is ready, by what the encoder keeps, and by the largest row.
 * - Several sessions may give rows of the same columns, such as the parts of one query: rows stand in the order in
 *   which they come, and while the file is behind all of these wait.
 *
 * @internal
 */
import { Effect } from "effect"
import type { Column, Flow, RowReceiver } from "../query/RowReceiver.ts"
import type { Encoder } from "./Encoder.ts"
import { SinkError } from "./SinkError.ts"

/** Bytes from which on the server waits, and again does not. Four writes: fewer let the disk wait, more gain nothing. */
const most = 1024 * 1024
const fewEnough = most / 2

/** @internal */
export class Intake implements RowReceiver {
  /** Rows that were encoded. */
  encoded = 0
  private readonly flows: Array<Flow> = []
  private isPaused = false
  private described: ReadonlyArray<Column> | undefined
  private encoder: Encoder | undefined
  /** Rows that came before there was an encoder for them. */
  private early: Array<Buffer> = []
  private ready: Array<Uint8Array> = []
  private readyBytes = 0
  private state: "open" | "complete" | "over" = "open"
  private failure: Effect.Effect<never, SinkError> | undefined
  private wake: (() => void) | undefined

  columns(columns: ReadonlyArray<Column>, flow: Flow): void {
    this.described ??= columns
    this.flows.push(flow)
    if (this.isPaused) flow.pause()
    this.wake?.()
  }

  rows(bytes: Buffer, from: number, to: number): void {
    if (this.encoder !== undefined) return this.encode(this.encoder, bytes, from, to)
    this.pause()
    this.early.push(Buffer.from(bytes.subarray(from, to)))
  }

  private pause(): void {
    this.isPaused = true
    for (const flow of this.flows) flow.pause()
  }

  private resume(): void {
    this.isPaused = false
    for (const flow of this.flows) flow.resume()
  }

  /** No rows come any more. */
  complete(): void {
    this.state = "complete"
    this.wake?.()
  }

  /** The columns, when they are known; `undefined` when there are none, and no rows either. */
  readonly header: Effect.Effect<ReadonlyArray<Column> | undefined> = this.when(() =>
    this.described === undefined && this.state === "open" ? undefined : Effect.succeed(this.described)
  )

  /** Goes on with an encoder for these columns. */
  begin(encoder: Encoder): void {
    this.encoder = encoder
    for (const bytes of this.early.splice(0)) this.encode(encoder, bytes, 0, bytes.length)
    if (this.readyBytes < most) this.resume()
  }

  /** What is to be written next, when there is something; nothing at all at the end. */
  readonly next: Effect.Effect<ReadonlyArray<Uint8Array>, SinkError> = this.when(() => {
    const { encoder } = this
    if (this.ready.length === 0 && this.state === "complete" && encoder !== undefined) {
      this.state = "over"
      this.put(() => encoder.end())
    }
    if (this.failure !== undefined) return this.failure
    if (this.ready.length === 0 && this.state !== "over") return undefined
    const chunks = this.ready
    this.ready = []
    return Effect.succeed(chunks)
  })

  written(bytes: number): void {
    this.readyBytes -= bytes
    if (this.readyBytes < fewEnough) this.resume()
  }

  /**
   * Waits until there is something to be seen. It looks in one step with the waiting: what comes between the two would
   * wake nobody.
   */
  private when<A, E>(look: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      const tell = (): void => {
        this.wake = undefined
        const seen = look()
        if (seen === undefined) this.wake = tell
        else resume(seen)
      }
      tell()
      return Effect.sync(() => {
        this.wake = undefined
      })
    })
  }

  private encode(encoder: Encoder, bytes: Buffer, from: number, to: number): void {
    if (this.failure !== undefined) return
    this.put(() => {
      this.encoded += encoder.add(bytes, from, to)
      return encoder.take()
    })
    if (this.readyBytes >= most) this.pause()
  }

  /** What an encoder throws would end the process, from the handler of a socket. */
  private put(step: () => ReadonlyArray<Uint8Array>): void {
    try {
      for (const chunk of step()) {
        this.ready.push(chunk)
        this.readyBytes += chunk.length
      }
    } catch (error) {
      this.failure = error instanceof SinkError ? Effect.fail(error) : Effect.die(error)
    }
    if (this.failure !== undefined || this.ready.length > 0) this.wake?.()
  }
}
