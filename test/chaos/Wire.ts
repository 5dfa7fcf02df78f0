/**
 * What passed the proxy of the writes of a round: whether an unknown outcome has a cause that can be seen.
 *
 * A mark, such as a write's token, stands in a comment of its statement, so that its messages can be told from others.
 */
import { Effect } from "effect"
import * as Faults from "../support/Faults.ts"
import type { Message } from "../support/FaultScript.ts"

const mark = /\/\* (\S+) \*\//
const commit = /^\s*commit\b/i

const ofConnection = (sets: Map<number, Set<string>>, connection: number): Set<string> => {
  const set = sets.get(connection) ?? new Set()
  sets.set(connection, set)
  return set
}

/** A statement is answered with ReadyForQuery: behind CommandComplete its commit can still fail. */
export const watch = Effect.fnUntraced(function* (faults: Faults.Faults) {
  /** What was sent on a connection and not answered, by mark. */
  const open = new Map<number, Set<string>>()
  /** The marks of the latest transaction on a connection. */
  const written = new Map<number, Set<string>>()

  const sent = ({ connection, statement = "" }: Message): void => {
    const marked = mark.exec(statement)?.[1]
    if (marked !== undefined) {
      ofConnection(open, connection).add(marked)
      ofConnection(written, connection).add(marked)
    }
    if (commit.test(statement)) {
      for (const one of ofConnection(written, connection)) ofConnection(open, connection).add(one)
      written.get(connection)?.clear()
    }
  }
  // Faults that never strike see everything. What the client has sent it has sent, also where it is cut off here.
  yield* faults.inject(Faults.cut(), {
    before: (message) => {
      if (message.direction === "toServer" && message.type === "Execute") sent(message)
      return false
    }
  })
  yield* faults.inject(Faults.cut(), {
    after: ({ connection, direction, type }) => {
      if (direction === "toClient" && type === "ReadyForQuery") open.get(connection)?.clear()
      return false
    }
  })

  return {
    /** Whether a statement with this mark, or the COMMIT behind it, was sent on some connection and never answered. */
    lostAnswer: (marked: string): boolean => [...open.values()].some((marks) => marks.has(marked))
  }
})
