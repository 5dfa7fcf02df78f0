/**
 * Any stream as a socket of the pool, for servers in this process.
 */
import type { Duplex } from "node:stream"
import type { PgSocket } from "../../src/pool/PgWire.ts"

/** Its `through` is kept and not asked: what a filter sees is up to the test. */
export const asPgSocket = (stream: Duplex): PgSocket =>
  Object.assign(stream, {
    through: undefined,
    atRest: true,
    hold: () => void stream.pause(),
    flow: () => void stream.resume()
  })
