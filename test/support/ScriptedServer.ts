/**
 * A PostgreSQL server without a database, in this process: it speaks just enough of the protocol for sessions to open,
 * to run statements that return nothing, to be cancelled and to close. It decides when a session that said goodbye is
 * gone, when a statement is answered and whether a new session is let in, so that what happens in between can be looked
 * at.
 */
import { duplexPair } from "node:stream"
import type { Duplex } from "node:stream"
import type { PgSocket } from "../../src/pool/PgWire.ts"
import { asPgSocket } from "./asPgSocket.ts"

/** Lets what comes pass, or keeps it in order until it is opened again. */
class Gate {
  private waiting: Array<() => void> | undefined

  close(): void {
    this.waiting ??= []
  }

  open(): void {
    const waiting = this.waiting ?? []
    this.waiting = undefined
    for (const pass of waiting) pass()
  }

  pass(then: () => void): void {
    if (this.waiting === undefined) then()
    else this.waiting.push(then)
  }
}

const frame = (type: string, body: Buffer = Buffer.alloc(0)): Buffer => {
  const head = Buffer.from(`${type}....`)
  head.writeInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

const ready = frame("Z", Buffer.from("I"))
const welcome = Buffer.concat([frame("R", Buffer.alloc(4)), frame("K", Buffer.alloc(8, 1)), ready])

/** What each message of a client is answered with; a Sync ends the statement. */
const answers: Readonly<Record<string, Buffer>> = {
  P: frame("1"),
  B: frame("2"),
  D: frame("n"),
  C: frame("3"),
  E: frame("C", Buffer.from("SELECT 0\0")),
  S: ready
}

const refusal = (sqlState: string): Buffer => frame("E", Buffer.from(`SFATAL\0VFATAL\0C${sqlState}\0Mno entry\0\0`))

/** The number in a CancelRequest where a StartupMessage has its version. */
const cancelRequest = 80877102

export class ScriptedServer {
  /** Statements that were parsed, each by the number of its session, counted from 1. */
  readonly statements: Array<readonly [session: number, sql: string]> = []
  /** Sessions that were opened so far, and the most that were there at once. */
  opened = 0
  most = 0
  /** Sessions that are open or closing. */
  readonly present = new Set<number>()
  /** Closed: a new session waits in front of it. */
  readonly door = new Gate()
  /** Closed: a session that said goodbye stays. */
  readonly exit = new Gate()
  /** Closed: statements are not answered. */
  readonly answering = new Gate()
  private refusedWith: string | undefined
  private readonly sockets = new Map<number, Duplex>()

  /** A socket whose other end this server holds. */
  readonly open = (): PgSocket => {
    const [client, server] = duplexPair()
    // One end that is destroyed takes the other with it, as the two of a TCP connection do.
    client.on("close", () => server.destroy())
    server.on("close", () => client.destroy())
    server.on("error", () => {})
    let session: number | undefined
    let held: Buffer = Buffer.alloc(0)
    server.on("data", (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      if (session !== undefined) return this.converse(session, server, frames())
      if (held.length < 8 || held.length < held.readInt32BE(0)) return
      if (held.readInt32BE(4) === cancelRequest) return void server.destroy()
      held = held.subarray(held.readInt32BE(0))
      session = this.begin(client, server)
    })
    /** The complete messages so far. */
    const frames = function* (): Generator<readonly [type: string, body: Buffer]> {
      while (held.length >= 5 && held.length >= 1 + held.readInt32BE(1)) {
        const end = 1 + held.readInt32BE(1)
        const message = [held.toString("latin1", 0, 1), held.subarray(5, end)] as const
        held = held.subarray(end)
        yield message
      }
    }
    return asPgSocket(client)
  }

  private begin(client: Duplex, server: Duplex): number {
    const session = ++this.opened
    this.present.add(session)
    this.most = Math.max(this.most, this.present.size)
    this.sockets.set(session, client)
    server.on("close", () => this.gone(session))
    const { refusedWith } = this
    this.refusedWith = undefined
    if (refusedWith === undefined) this.door.pass(() => server.write(welcome))
    else server.end(refusal(refusedWith))
    return session
  }

  private converse(session: number, server: Duplex, frames: Iterable<readonly [type: string, body: Buffer]>): void {
    const replies: Array<Buffer> = []
    for (const [type, body] of frames) {
      if (type === "X") {
        this.exit.pass(() => {
          this.gone(session)
          server.end()
        })
        return
      }
      if (type === "P") {
        const sql = body.toString().split("\0")[1] ?? ""
        // How the pool makes itself known to a new session is no statement of anybody.
        if (!sql.includes("pg_stat_get_activity")) this.statements.push([session, sql])
      }
      replies.push(answers[type] ?? Buffer.alloc(0))
    }
    this.answering.pass(() => server.write(Buffer.concat(replies)))
  }

  private gone(session: number): void {
    this.present.delete(session)
    this.sockets.delete(session)
  }

  /** Refuses the next session with this SQLSTATE. */
  refuseOnce(sqlState: string | undefined): void {
    this.refusedWith = sqlState
  }

  /** Drops a session, as a crash of its backend would. */
  drop(session: number): void {
    this.sockets.get(session)?.destroy(new Error("read ECONNRESET"))
    this.gone(session)
  }
}
