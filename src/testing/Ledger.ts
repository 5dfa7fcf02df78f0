/**
 * What has happened in a made-up pool so far, for a test to look at.
 *
 * @since 0.1.0
 */
import type { Statement } from "./Script.ts"

/**
 * What has happened in a made-up pool so far. It is that of the moment in which it is looked at.
 *
 * @since 0.1.0
 */
export interface Ledger {
  /** What queries have sent, in order: not what begins and ends their transactions. */
  readonly statements: ReadonlyArray<Statement>
  /** The names of the queries that were given a session, in order. One that is tried again has another each time. */
  readonly opened: ReadonlyArray<string>
  /** The names of the queries whose session was taken back, in order. */
  readonly closed: ReadonlyArray<string>
  /** How transactions ended, in order: not savepoints. */
  readonly transactions: ReadonlyArray<{ readonly query: string; readonly end: "committed" | "rolledBack" }>
  /** How many sessions are lent. */
  readonly inUse: number
  /** How many were lent at once, at most. */
  readonly mostInUse: number
  readonly snapshots: ReadonlyArray<"taken" | "released">
  /** The names of the queries that joined a snapshot, in order. */
  readonly joined: ReadonlyArray<string>
  /** Forgets it all but the sessions that are lent. */
  readonly clear: () => void
  /** Takes the session away that holds the latest snapshot: queries that come later fail with `SnapshotLost`. */
  readonly loseSnapshot: () => void
}

/** @internal */
export class Book implements Ledger {
  statements: Array<Statement> = []
  opened: Array<string> = []
  closed: Array<string> = []
  transactions: Array<Ledger["transactions"][number]> = []
  snapshots: Array<"taken" | "released"> = []
  joined: Array<string> = []
  inUse = 0
  mostInUse = 0
  /** Of all time: sessions are numbered by it. */
  sessions = 0
  onLost: (() => void) | undefined

  begin(query: string): number {
    this.opened.push(query)
    this.inUse++
    this.mostInUse = Math.max(this.mostInUse, this.inUse)
    return ++this.sessions
  }

  end(query: string): void {
    this.closed.push(query)
    this.inUse--
  }

  readonly clear = (): void => {
    this.statements = []
    this.opened = []
    this.closed = []
    this.transactions = []
    this.snapshots = []
    this.joined = []
    this.mostInUse = this.inUse
  }

  readonly loseSnapshot = (): void => this.onLost?.()
}
