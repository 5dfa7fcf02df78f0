/**
 * The socket between the driver and the server, opened and owned by the pool.
 *
 * A plain TCP or Unix socket is handed to the driver as it is. Where TLS is negotiated, or where messages are to be
 * read or changed on their way (`Filter`), a `PgWire` stands between the two. TLS is done here rather than in the
 * driver because libpq's `prefer` and `require` accept any certificate, which the driver cannot be told.
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

/** TCP's keepalive begins after this long without traffic, so that a dead server is noticed without a query timeout. */
const defaultKeepAliveMillis = 30_000

/** @internal */
export const open = (
  endpoint: PgEndpoint,
  options: { readonly keepAliveMillis?: number | undefined; readonly filter?: Filter | undefined }
): Duplex => {
  // noDelay: a statement is one write and then a wait for its answer, so waiting for more to send only adds latency.
  const socket =
    endpoint.path !== undefined
      ? Net.connect({ path: endpoint.path })
      : Net.connect({
          host: endpoint.host,
          port: endpoint.port,
          noDelay: true,
          keepAlive: true,
          keepAliveInitialDelay: options.keepAliveMillis ?? defaultKeepAliveMillis
        })
  // libpq ignores sslmode on Unix sockets.
  const encryption: Encryption = endpoint.path === undefined ? endpoint.encryption : { mode: "disable" }
  return encryption.mode === "disable" && options.filter === undefined
    ? socket
    : new PgWire(socket, endpoint.host, encryption, options.filter)
}

class PgWire extends Duplex {
  private inner: Net.Socket
  private readonly host: string
  private readonly encryption: Encryption
  private readonly through: Filter | undefined

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
    const { inner, through } = this
    inner.on("data", (chunk: Buffer) => {
      const passed = through === undefined ? chunk : through.incoming(chunk)
      // An empty chunk would be taken for data, and wake the driver for nothing.
      if (passed.length > 0 && !this.push(passed)) inner.pause()
    })
    inner.once("end", () => this.push(null))
    inner.once("error", (error: Error) => this.destroy(error))
    inner.once("close", () => this.destroy())
  }

  override _read(): void {
    this.inner.resume()
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
