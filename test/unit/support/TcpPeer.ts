/** The two ends of a TCP connection, and messages of PostgreSQL's protocol, for tests that script both. */
import { Effect, Queue } from "effect"
import { once } from "node:events"
import { connect as connectSocket, createServer } from "node:net"
import type { Socket } from "node:net"

/** One end of a connection: what it has got, and how that ended. */
export interface TcpPeer {
  readonly send: (...bytes: ReadonlyArray<Buffer>) => Effect.Effect<void>
  /** Waits until so much, or everything that will ever come, is there; gives all of it. */
  readonly received: (bytes: number) => Effect.Effect<Buffer>
  /** Waits for the end of what comes. */
  readonly over: Effect.Effect<"end" | "reset">
  /** Sends no more. */
  readonly end: Effect.Effect<void>
  /** Closes with a reset. */
  readonly reset: Effect.Effect<void>
}

const makePeer = (socket: Socket): TcpPeer => {
  const chunks: Array<Buffer> = []
  let size = 0
  let over: "end" | "reset" | undefined
  const watchers = new Set<() => void>()
  const changed = (): void => {
    for (const watcher of watchers) watcher()
  }
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    changed()
  })
  socket.once("end", () => {
    over = "end"
    changed()
  })
  socket.once("error", () => {
    over = "reset"
    changed()
  })
  const when = <A>(look: () => A | undefined): Effect.Effect<A> =>
    Effect.callback((resume) => {
      const watcher = (): void => {
        const found = look()
        if (found === undefined) return
        watchers.delete(watcher)
        resume(Effect.succeed(found))
      }
      watchers.add(watcher)
      watcher()
      return Effect.sync(() => watchers.delete(watcher))
    })
  return {
    send: (...bytes) => Effect.sync(() => void socket.write(Buffer.concat(bytes))),
    received: (bytes) => when(() => (size >= bytes || over !== undefined ? Buffer.concat(chunks) : undefined)),
    over: when(() => over),
    end: Effect.sync(() => void socket.end()),
    reset: Effect.sync(() => void socket.resetAndDestroy())
  }
}

const closed = (socket: Socket) => Effect.sync(() => void socket.destroy())

/** Connects; a connection that is refused fails with its code. */
export const connect = Effect.fnUntraced(function* (port: number) {
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => connectSocket({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true })),
    closed
  )
  yield* Effect.tryPromise({
    try: () => once(socket, "connect"),
    catch: (cause) => (cause instanceof Error && "code" in cause ? String(cause.code) : String(cause))
  })
  return makePeer(socket)
})

/** A server that does nothing but hand out its ends of the connections, in the order in which they come. */
export const listen = Effect.gen(function* () {
  const accepted = yield* Queue.unbounded<TcpPeer>()
  const sockets = new Set<Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        sockets.add(socket)
        Queue.offerUnsafe(accepted, makePeer(socket))
      })
      await once(server.listen(0, "127.0.0.1"), "listening")
      return server
    }),
    (server) =>
      Effect.promise(async () => {
        for (const socket of sockets) socket.destroy()
        await new Promise((resolve) => server.close(resolve))
      })
  )
  const address = server.address()
  return {
    host: "127.0.0.1",
    port: address !== null && typeof address === "object" ? address.port : 0,
    accept: Queue.take(accepted),
    /** How many came and were not taken. */
    waiting: Effect.sync(() => Queue.sizeUnsafe(accepted)),
    stop: Effect.sync(() => void server.close())
  }
})

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** A message; texts end with a NUL. */
export const message = (type: string, ...parts: ReadonlyArray<string | Buffer>): Buffer => {
  const body = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(`${part}\0`) : part)))
  return Buffer.concat([Buffer.from(type), int32(4 + body.length), body])
}

/** A packet without a type. */
const packet = (code: number, body: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([int32(8 + body.length), int32(code), body])

export const startup = packet(3 << 16, Buffer.from("user\0me\0application_name\0peer\0\0"))
export const sslRequest = packet(80877103)
export const cancelRequest = (pid: number): Buffer => packet(80877102, Buffer.concat([int32(pid), int32(42)]))
export const backendKeyData = (pid: number): Buffer => message("K", int32(pid), int32(42))
export const ready = message("Z", Buffer.from("I"))

/** An extended query; a statement with a name is prepared and kept. */
export const extended = {
  parse: (sql: string, name = "") => message("P", name, sql, Buffer.alloc(2)),
  bind: (name = "", portal = "") => message("B", portal, name, Buffer.alloc(6)),
  describe: (portal = "") => message("D", Buffer.from("P"), portal),
  execute: (portal = "") => message("E", portal, int32(0)),
  sync: message("S")
}

export const answers = {
  parsed: message("1"),
  bound: message("2"),
  noData: message("n"),
  row: message("D", Buffer.alloc(2)),
  complete: (tag: string) => message("C", tag),
  failed: (code: string) => message("E", "SERROR", `C${code}`, Buffer.alloc(1))
}
