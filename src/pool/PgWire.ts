/**
 * The socket between the driver and the server, opened and owned by the pool.
 *
 * Messages can be read or changed on their way (`Filter`), always or for a while. The driver, and whoever else listens,
 * hear what the filter passes on. Without one, a plain TCP or Unix socket is handed to the driver all but as it is. TLS
 * is done here rather than in the driver because libpq's `prefer` and `require` accept any certificate, which the driver
 * cannot be told.
 *
 * @internal
 */
import { PgProtocol } from "@effect/sql-pg"
import { Result } from "effect"
import * as Net from "node:net"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"
import type { Encryption, PgEndpoint } from "./PgEndpoint.ts"

/**
 * Sees the bytes of both directions, and gives what is to be passed on.
 *
 * @internal
 */
export interface Filter {
  readonly incoming: (chunk: Buffer) => Buffer
  readonly outgoing: (chunk: Buffer) => Buffer
}

/**
 * A socket to the server whose filter may change, between two statements.
 *
 * @internal
 */
export interface PgSocket extends Duplex {
  through: Filter | undefined
  /**
   * Whether what came last ends with the end of a statement (ReadyForQuery). Where it does not, a message that belongs
   * to none, such as a notification, may have come in part: a new filter would begin in the middle of it.
   */
  readonly atRest: boolean
  /** Reads nothing more from the server, and goes on. Twice is once. */
  hold(): void
  flow(): void
}

/** TCP's keepalive begins after this long without traffic, so that a dead server is noticed without a query timeout. */
const defaultKeepAliveMillis = 30_000

/** @internal */
export const open = (
  endpoint: PgEndpoint,
  options: { readonly keepAliveMillis?: number | undefined; readonly filter?: Filter | undefined }
): PgSocket => {
  // libpq ignores sslmode on Unix sockets.
  const encryption: Encryption = endpoint.path === undefined ? endpoint.encryption : { mode: "disable" }
  // noDelay: a statement is one write and then a wait for its answer, so waiting for more to send only adds latency.
  const to =
    endpoint.path !== undefined
      ? { path: endpoint.path }
      : {
          host: endpoint.host,
          port: endpoint.port,
          noDelay: true,
          keepAlive: true,
          keepAliveInitialDelay: options.keepAliveMillis ?? defaultKeepAliveMillis
        }
  if (encryption.mode === "disable" && options.filter === undefined) {
    const socket = new PlainSocket(to)
    socket.connect(to)
    // `connect` sets that of Net.Socket, which the end of another connection may have taken away.
    socket.write = PlainSocket.prototype.write
    return socket
  }
  return new PgWire(Net.connect(to), endpoint.host, encryption, options.filter)
}

/** The bytes of a ReadyForQuery; the last one is the state of the transaction. */
const readyBytes = 6

const endsInReady = (chunk: Buffer): boolean => {
  const at = chunk.length - readyBytes
  return chunk[at] === 0x5a && chunk[at + 1] === 0 && chunk[at + 2] === 0 && chunk[at + 3] === 0 && chunk[at + 4] === 5
}

/**
 * A socket as Node gives it, that lets a filter in when one is set. A Duplex around it, as `PgWire` is, would cost each
 * lookup of a pool that needs none.
 */
class PlainSocket extends Net.Socket implements PgSocket {
  through: Filter | undefined
  atRest = false

  override emit(event: string | symbol, ...args: ReadonlyArray<unknown>): boolean {
    const [chunk] = args
    if (event !== "data" || !Buffer.isBuffer(chunk)) return super.emit(event, ...args)
    this.atRest = endsInReady(chunk)
    if (this.through === undefined) return super.emit("data", chunk)
    const passed = this.through.incoming(chunk)
    return passed.length > 0 && super.emit("data", passed)
  }

  override write(
    chunk: Uint8Array | string,
    encoding?: BufferEncoding | ((error?: Error | null) => void),
    done?: (error?: Error | null) => void
  ): boolean {
    const passed = this.through !== undefined && Buffer.isBuffer(chunk) ? this.through.outgoing(chunk) : chunk
    return typeof encoding === "function" ? super.write(passed, encoding) : super.write(passed, encoding, done)
  }

  hold(): void {
    this.pause()
  }

  flow(): void {
    this.resume()
  }
}

class PgWire extends Duplex implements PgSocket {
  through: Filter | undefined
  private inner: Net.Socket
  private readonly host: string
  private readonly encryption: Encryption
  atRest = false
  private held = false

  constructor(socket: Net.Socket, host: string, encryption: Encryption, filter: Filter | undefined) {
    super()
    this.inner = socket
    this.host = host
    this.encryption = encryption
    this.through = filter
  }

  override _construct(ready: (error?: Error) => void): void {
    const { encryption, inner } = this
    const stopWatching = (): void => {
      inner.off("error", failed).off("close", hungUp)
      this.inner.off("error", failed).off("close", hungUp)
    }
    const failed = (error: Error): void => {
      stopWatching()
      // What else the sockets have to say has nobody to hear it, and must not end the process.
      inner.on("error", () => {})
      this.inner.on("error", () => {})
      ready(error)
    }
    const hungUp = (): void => failed(new Error("The server closed the connection before it was established"))
    const established = (): void => {
      stopWatching()
      this.forward()
      ready()
    }
    inner.once("error", failed).once("close", hungUp)
    inner.once("connect", () => {
      if (encryption.mode === "disable") return established()
      inner.once("data", (answer) => {
        const accepted = PgProtocol.decodeSslResponse(answer[0] ?? 0)
        // More than one byte before the handshake would be text that somebody put in front of the encrypted part.
        if (Result.isFailure(accepted) || answer.length !== 1) {
          return failed(new Error("The server gave no proper answer to the request for TLS"))
        }
        if (accepted.success === "N") {
          return encryption.mode === "prefer" ? established() : failed(new Error("The server does not support TLS"))
        }
        stopWatching()
        this.inner = Tls.connect({
          host: this.host,
          ...(Net.isIP(this.host) === 0 ? { servername: this.host } : {}),
          ...encryption.options,
          socket: inner
        })
        this.inner.once("error", failed).once("close", hungUp)
        this.inner.once("secureConnect", established)
      })
      inner.write(PgProtocol.encodeSslRequest())
    })
  }

  private forward(): void {
    const { inner } = this
    inner.on("data", (chunk: Buffer) => {
      this.atRest = endsInReady(chunk)
      const passed = this.through === undefined ? chunk : this.through.incoming(chunk)
      // An empty chunk would be taken for data, and wake the driver for nothing.
      if (passed.length > 0 && !this.push(passed)) inner.pause()
    })
    inner.once("end", () => this.push(null))
    inner.once("error", (error: Error) => this.destroy(error))
    inner.once("close", () => this.destroy())
  }

  hold(): void {
    this.held = true
    this.inner.pause()
  }

  flow(): void {
    this.held = false
    this.inner.resume()
  }

  override _read(): void {
    // The driver's side asks for more whenever it has read what was passed on.
    if (!this.held) this.inner.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.inner.write(this.through === undefined ? chunk : this.through.outgoing(chunk), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.inner.end(() => done())
  }

  /** Not in `_destroy`, which waits for `_construct`, and so for a server that may never answer. */
  override destroy(error?: Error): this {
    this.inner.destroy()
    return super.destroy(error)
  }
}
