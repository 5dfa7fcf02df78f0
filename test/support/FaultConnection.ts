/**
 * A client's connection through the proxy: two sockets and the two lanes between them.
 *
 * The socket to the server is opened when the first byte is to pass, so that a connection that is frozen, or answered
 * in the server's place, never reaches the server. Each side's end of data, and each reset, is passed on by itself.
 */
import { connect } from "node:net"
import type { Socket } from "node:net"
import type { Lasting, LaneOwner } from "./FaultLane.ts"
import { FaultLane } from "./FaultLane.ts"
import type { FaultLog } from "./FaultLog.ts"
import type { Ending, Fault, Rules, Way } from "./FaultScript.ts"
import { PgConversation } from "./PgConversation.ts"
import type { Direction } from "./PgFrames.ts"
import { backend, directions, errorResponse, frontend, startupParameters } from "./PgFrames.ts"

/** A side of a connection: "ended" has said that it sends no more. */
type Side = "open" | "ended" | "closed"

/** What is known of a connection at a moment. */
export interface ConnectionState {
  /** Counted from 1 in the order of acceptance. */
  readonly id: number
  /** "unknown" before its first packet has passed; "encrypted" is passed on unread. */
  readonly kind: "unknown" | "session" | "cancel" | "encrypted"
  /** "cut", "answered" and "halfOpen" are closed once the sides that were left have closed. */
  readonly state: "open" | "frozen" | "cut" | "halfOpen" | "answered" | "closed"
  /** Of the backend; of a CancelRequest, whose statement it is to end. */
  readonly pid: number | undefined
  readonly applicationName: string | undefined
  readonly client: Side
  readonly server: Side | "none"
  /** What waits in the proxy. */
  readonly heldBytes: Readonly<Record<Direction, number>>
  readonly passedBytes: Readonly<Record<Direction, number>>
}

/** What connections share. */
export interface FaultHub {
  readonly host: string
  readonly port: number
  readonly seed: number
  readonly rules: Rules
  readonly log: FaultLog
  readonly keepCancel: (request: Buffer) => void
  readonly changed: () => void
}

export class FaultConnection implements LaneOwner {
  readonly id: number
  readonly seed: number
  readonly rules: Rules
  readonly log: FaultLog
  readonly changed: () => void
  private readonly hub: FaultHub
  private readonly client: Socket
  private server: Socket | undefined
  private readonly lanes: Readonly<Record<Direction, FaultLane>>
  private readonly conversation = new PgConversation()
  private kind: ConnectionState["kind"] = "unknown"
  private pid: number | undefined
  private applicationName: string | undefined
  private cancelRequest: Buffer | undefined
  /** What has become of the connection, and by which fault. */
  private fate: { readonly state: "cut" | "halfOpen" | "answered"; readonly by: Lasting } | undefined

  constructor(hub: FaultHub, id: number, client: Socket) {
    this.hub = hub
    this.id = id
    this.seed = hub.seed
    this.rules = hub.rules
    this.log = hub.log
    this.changed = hub.changed
    this.client = client
    this.lanes = { toServer: new FaultLane(this, "toServer"), toClient: new FaultLane(this, "toClient") }
    this.listen(client, this.lanes.toServer, this.lanes.toClient)
  }

  get closed(): boolean {
    return this.client.closed && this.server?.closed !== false
  }

  state(): ConnectionState {
    const { toClient, toServer } = this.lanes
    const ofLanes = toServer.frozen || toClient.frozen ? "frozen" : "open"
    return {
      id: this.id,
      kind: this.kind,
      state: this.closed ? "closed" : (this.fate?.state ?? ofLanes),
      pid: this.pid,
      applicationName: this.applicationName,
      client: sideOf(this.client, toServer),
      server: this.server === undefined ? "none" : sideOf(this.server, toClient),
      heldBytes: { toServer: toServer.heldBytes, toClient: toClient.heldBytes },
      passedBytes: { toServer: toServer.passedBytes, toClient: toClient.passedBytes }
    }
  }

  /** Lets a fault happen. */
  suffer(by: Lasting): void {
    const { fault } = by
    if (this.closed) return
    if (fault._tag === "freeze" || fault._tag === "delay" || fault._tag === "throttle") {
      for (const lane of this.lanesOf(fault.way)) lane.impede(by)
    } else if (fault._tag === "cut") {
      this.cut(by, fault.how)
    } else if (this.fate === undefined) {
      if (fault._tag === "halfOpen") this.leaveHalfOpen(by, fault.gone)
      else if (fault._tag === "answer") this.answer(by, fault)
      else if (fault._tag === "keepCancel") this.keepCancel(by, fault.passing)
    }
    this.changed()
  }

  /** Lifts a fault, where that is possible. */
  recover(from: Lasting): void {
    if (this.fate?.state === "halfOpen" && this.fate.by === from) {
      for (const socket of this.sockets()) socket.resetAndDestroy()
    }
    for (const direction of directions) this.lanes[direction].relieve(from)
    this.changed()
  }

  /** Closes both sides, and waits until they are. */
  async close(): Promise<void> {
    this.mute()
    await Promise.all(this.sockets().map(destroyed))
  }

  source(direction: Direction): Socket | undefined {
    return direction === "toServer" ? this.client : this.server
  }

  openSink(direction: Direction): Socket | undefined {
    const sink = direction === "toServer" ? this.server : this.client
    return sink?.writable === true ? sink : undefined
  }

  sink(direction: Direction): Socket | undefined {
    if (direction === "toServer" && this.server === undefined) {
      const { host, port } = this.hub
      this.server = connect({ host, port, noDelay: true, allowHalfOpen: true })
      this.listen(this.server, this.lanes.toClient, this.lanes.toServer)
    }
    return this.openSink(direction)
  }

  begin(lane: FaultLane, bytes: Buffer, at: number): string | undefined {
    const { code, contentAt, isFirstPacket, phase, size } = lane.reader
    const contents = at + contentAt
    if (lane.direction === "toServer") {
      if (isFirstPacket) this.open(code, bytes.subarray(at, at + size))
      return this.conversation.ask(code, bytes, contents)
    }
    if (phase === "unread") {
      this.kind = "encrypted"
      this.lanes.toServer.reader.phase = "unread"
    } else if (code === backend.BackendKeyData) {
      this.pid = bytes.readUInt32BE(contents)
      this.changed()
    }
    return this.conversation.answer(code)
  }

  finish(direction: Direction, how: Ending): void {
    // Where there never was a server, no end of its own will come back and close the client.
    const sink = direction === "toServer" ? (this.server ?? this.client) : this.client
    if (how === "reset") sink.resetAndDestroy()
    else sink.end()
    this.changed()
  }

  private open(code: number, packet: Buffer): void {
    if (code === frontend.StartupMessage) {
      this.kind = "session"
      this.applicationName = startupParameters(packet).get("application_name")
    } else if (code === frontend.CancelRequest) {
      this.kind = "cancel"
      this.pid = packet.readUInt32BE(8)
      this.cancelRequest = Buffer.from(packet)
    } else {
      this.lanes.toClient.reader.phase = "answer"
    }
    this.changed()
  }

  private cut(by: Lasting, how: Ending): void {
    this.fate = { state: "cut", by }
    this.mute()
    for (const socket of this.sockets()) {
      if (how === "end") socket.end()
      else socket.resetAndDestroy()
    }
  }

  private leaveHalfOpen(by: Lasting, gone: "server" | "client"): void {
    this.fate = { state: "halfOpen", by }
    this.mute()
    const socket = gone === "server" ? this.server : this.client
    socket?.resetAndDestroy()
  }

  private answer(by: Lasting, error: Extract<Fault, { readonly _tag: "answer" }>): void {
    this.fate = { state: "answered", by }
    this.mute()
    this.client.end(errorResponse(error))
    this.server?.end()
  }

  private keepCancel(by: Lasting, passing: boolean): void {
    if (this.cancelRequest === undefined) return
    this.hub.keepCancel(this.cancelRequest)
    if (passing) return
    this.fate = { state: "answered", by }
    this.mute()
    this.client.end()
  }

  private mute(): void {
    for (const direction of directions) this.lanes[direction].mute()
  }

  private lanesOf(way: Way): ReadonlyArray<FaultLane> {
    return directions
      .filter((direction) => way === "both" || way === direction)
      .map((direction) => this.lanes[direction])
  }

  private sockets(): ReadonlyArray<Socket> {
    return this.server === undefined ? [this.client] : [this.client, this.server]
  }

  /** `lane` carries what the socket says, `back` what it is told. */
  private listen(socket: Socket, lane: FaultLane, back: FaultLane): void {
    socket.on("data", (chunk) => lane.arrive(chunk))
    socket.on("drain", () => back.flow())
    socket.once("end", () => {
      lane.arrive("end")
      this.changed()
    })
    // Without a listener the error would end the process; "close" says that there was one.
    socket.on("error", () => {})
    socket.once("close", (hadError) => {
      if (this.closed) this.mute()
      else if (hadError) lane.arrive("reset")
      // Nobody is left to be told, so whoever waits for room may go on.
      back.flow()
      this.changed()
    })
  }
}

const destroyed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) return resolve()
    socket.once("close", () => resolve())
    socket.destroy()
  })

const sideOf = (socket: Socket, lane: FaultLane): Side =>
  socket.closed ? "closed" : lane.sourceEnded ? "ended" : "open"
