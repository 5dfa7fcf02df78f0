/** A proxy between scripted peers. */
import { Effect } from "effect"
import * as Faults from "../../support/Faults.ts"
import { answers, connect, extended, listen, ready, startup } from "./TcpPeer.ts"

export const makeBench = Effect.fnUntraced(function* (seed: number = 1) {
  const server = yield* listen
  const faults = yield* Faults.make({ host: server.host, port: server.port, seed })
  /** A connection whose startup has passed. */
  const open = Effect.gen(function* () {
    const client = yield* connect(faults.port)
    yield* client.send(startup)
    const peer = yield* server.accept
    yield* peer.received(startup.length)
    return { client, server: peer }
  })
  return { faults, server, open }
})

/** An extended query, message by message. */
export const statement = (sql: string): ReadonlyArray<Buffer> => [
  extended.parse(sql),
  extended.bind(),
  extended.describe(),
  extended.execute(),
  extended.sync
]

/** And what a server says to it. */
export const answer: ReadonlyArray<Buffer> = [
  answers.parsed,
  answers.bound,
  answers.noData,
  answers.complete("COMMIT"),
  ready
]

export const size = (...frames: ReadonlyArray<Buffer>): number => Buffer.concat(frames).length
