/** The proxy itself: its listener, its connections, and the faults in force. */
import { Effect } from "effect"
import { once } from "node:events"
import { connect, createServer } from "node:net"
import type { Server, Socket } from "node:net"
import type { ConnectionState, FaultHub } from "./FaultConnection.ts"
import { FaultConnection } from "./FaultConnection.ts"
import type { InjectOptions, Struck } from "./FaultInjection.ts"
import { FaultInjection } from "./FaultInjection.ts"
import { FaultLog, printTotals } from "./FaultLog.ts"
import type { Fault, Match, Message, Rule } from "./FaultScript.ts"
import { printFault, printMatch, Rules, selector } from "./FaultScript.ts"

export const loopback = "127.0.0.1"

const keptConnections = 1_000
const printedConnections = 30

export class FaultProxy implements FaultHub {
  /** Of the server. */
  readonly host: string
  readonly port: number
  readonly seed: number
  readonly rules = new Rules()
  readonly log = new FaultLog()
  ownPort = 0
  private listener: Server | undefined
  private accepted = 0
  private readonly connections = new Map<number, FaultConnection>()
  private readonly injections: Array<{ readonly injection: FaultInjection; readonly rule: Rule | undefined }> = []
  private keptCancels: Array<Buffer> = []
  /** Whoever waits for a connection's state. */
  private readonly watchers = new Set<() => void>()
  /** Ends each wait that is still open. */
  private readonly waits = new Set<() => void>()

  constructor(host: string, port: number, seed: number) {
    this.host = host
    this.port = port
    this.seed = seed
  }

  async listen(): Promise<void> {
    const listener = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.accept(socket))
    this.listener = listener
    listener.listen(this.ownPort, loopback)
    await once(listener, "listening")
    const address = listener.address()
    if (address !== null && typeof address === "object") this.ownPort = address.port
  }

  async close(): Promise<void> {
    for (const abandon of this.waits) abandon()
    const { listener } = this
    this.listener = undefined
    await Promise.all([
      listener === undefined ? undefined : new Promise((resolve) => listener.close(resolve)),
      ...Array.from(this.connections.values(), (connection) => connection.close())
    ])
  }

  readonly changed = (): void => {
    for (const watcher of this.watchers) watcher()
  }

  keepCancel(request: Buffer): void {
    this.keptCancels.push(request)
  }

  inject(fault: Fault, options: InjectOptions): FaultInjection {
    const injection = new FaultInjection(this.injections.length + 1, this.seed, this.accepted, fault, options)
    const rule: Rule | undefined = injection.rule && {
      ...injection.rule,
      act: (message) => this.strike(injection, this.connections.get(message.connection), message)
    }
    this.injections.push({ injection, rule })
    if (rule !== undefined) this.rules.add(rule)
    else if (fault._tag === "refuse") this.strike(injection, undefined, undefined)
    else for (const connection of this.connections.values()) this.strikeAtOnce(injection, connection)
    return injection
  }

  lift(injection: FaultInjection): Effect.Effect<void> {
    if (injection.lifted) return Effect.void
    injection.lifted = true
    this.forget(injection)
    for (const connection of this.connections.values()) connection.recover(injection)
    const { fault } = injection
    return fault._tag === "refuse" && this.listener === undefined && !this.refusing
      ? Effect.promise(() => this.listen())
      : Effect.void
  }

  heal(): Effect.Effect<void> {
    return Effect.forEach(this.injections, ({ injection }) => this.lift(injection), { discard: true })
  }

  fired(injection: FaultInjection): Effect.Effect<Struck> {
    if (injection.first !== undefined) return Effect.succeed(injection.first)
    return this.wait<Struck>(`the fault ${injection.text} struck`, (done) => {
      injection.listeners.add(done)
      return () => injection.listeners.delete(done)
    })
  }

  awaitMessage(match: Match): Effect.Effect<Message> {
    return this.wait<Message>(`${printMatch(match)} passed`, (done) => {
      const rule: Rule = { place: "after", match, hits: selector(match), act: done }
      this.rules.add(rule)
      return () => this.rules.remove(rule)
    })
  }

  awaitConnection(is: (connection: ConnectionState) => boolean): Effect.Effect<ConnectionState> {
    return Effect.suspend(() => {
      const found = this.states().find(is)
      return found === undefined ? this.awaitChange(is) : Effect.succeed(found)
    })
  }

  deliverCancels(): Effect.Effect<number> {
    const requests = this.keptCancels
    this.keptCancels = []
    return Effect.as(
      Effect.forEach(requests, (request) => this.deliver(request), { discard: true }),
      requests.length
    )
  }

  states(): ReadonlyArray<ConnectionState> {
    return Array.from(this.connections.values(), (connection) => connection.state())
  }

  describe(): string {
    return [
      `proxy ${loopback}:${this.ownPort} to ${this.host}:${this.port}, seed ${this.seed}`,
      ...this.injections.map(
        ({ injection: { count, lifted, text } }) => `  ${text}: struck ${count}×${lifted ? ", lifted" : ""}`
      ),
      `${this.accepted} connections, ${this.keptCancels.length} CancelRequests kept`,
      ...this.states().slice(-printedConnections).map(printState),
      `messages ${printTotals(this.log)}`,
      ...this.log.print()
    ].join("\n")
  }

  private accept(socket: Socket): void {
    const connection = new FaultConnection(this, ++this.accepted, socket)
    this.connections.set(connection.id, connection)
    for (const { injection } of this.injections) {
      if (injection.rule === undefined) this.strikeAtOnce(injection, connection)
      else if (injection.hitsEverything && injection.count > 0 && !injection.lifted && lasts(injection.fault)) {
        connection.suffer(injection)
      }
    }
    if (this.connections.size > keptConnections) this.dropClosed()
    this.changed()
  }

  private dropClosed(): void {
    for (const [id, connection] of this.connections) {
      if (!connection.closed) continue
      this.connections.delete(id)
      return
    }
  }

  private strikeAtOnce(injection: FaultInjection, connection: FaultConnection): void {
    if (injection.strikesAtOnce(connection.id)) this.strike(injection, connection, undefined)
  }

  private strike(
    injection: FaultInjection,
    connection: FaultConnection | undefined,
    message: Message | undefined
  ): void {
    if (injection.spent) return
    const { fault } = injection
    this.log.happened(connection?.id ?? 0, `#${injection.id} ${printFault(fault)}`)
    const hit = injection.hitsEverything ? this.connections.values() : connection === undefined ? [] : [connection]
    for (const one of hit) one.suffer(injection)
    if (fault._tag === "refuse") this.stopListening()
    injection.strike({ connection: connection?.id, message })
    if (injection.spent) this.forget(injection)
  }

  /** Lets messages pass unseen again. */
  private forget(injection: FaultInjection): void {
    const rule = this.injections[injection.id - 1]?.rule
    if (rule !== undefined) this.rules.remove(rule)
  }

  private get refusing(): boolean {
    return this.injections.some(
      ({ injection: { count, fault, lifted } }) => fault._tag === "refuse" && count > 0 && !lifted
    )
  }

  private stopListening(): void {
    this.listener?.close()
    this.listener = undefined
  }

  private deliver(request: Buffer): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const socket = connect({ host: this.host, port: this.port })
      socket.on("error", (error) => resume(Effect.die(error)))
      socket.once("close", () => resume(Effect.void))
      socket.write(request)
      // An end of data that is not read is not noticed.
      socket.resume()
      return Effect.sync(() => socket.destroy())
    })
  }

  private awaitChange(is: (connection: ConnectionState) => boolean): Effect.Effect<ConnectionState> {
    return this.wait<ConnectionState>(`a connection was such that ${String(is)}`, (done) => {
      const look = (): void => {
        const found = this.states().find(is)
        if (found !== undefined) done(found)
      }
      this.watchers.add(look)
      return () => this.watchers.delete(look)
    })
  }

  /** Waits for what `register` reports later; a wait that outlives the proxy dies rather than hang. */
  private wait<A>(what: string, register: (done: (value: A) => void) => () => void): Effect.Effect<A> {
    return Effect.callback((resume) => {
      const finish = (effect: Effect.Effect<A>): void => {
        this.waits.delete(abandon)
        stop()
        resume(effect)
      }
      const abandon = (): void => finish(Effect.die(new Error(`The proxy closed before ${what}`)))
      this.waits.add(abandon)
      const stop = register((value) => finish(Effect.succeed(value)))
      return Effect.sync(() => {
        this.waits.delete(abandon)
        stop()
      })
    })
  }
}

const lasts = ({ _tag }: Fault): boolean => _tag === "freeze" || _tag === "delay" || _tag === "throttle"

const printState = (connection: ConnectionState): string => {
  const { applicationName, client, heldBytes, id, kind, passedBytes, pid, server, state } = connection
  const name = applicationName === undefined ? "" : ` "${applicationName}"`
  const held =
    heldBytes.toServer + heldBytes.toClient === 0 ? "" : `, holds ${heldBytes.toServer}/${heldBytes.toClient}`
  const passed = `passed ${passedBytes.toServer}/${passedBytes.toClient} bytes`
  return `${String(id).padStart(3)} ${kind}${name} of process ${pid ?? "?"} ${state}: client ${client}, server ${server}, ${passed}${held}`
}
