/**
 * What the queries of a round know of their own writes, and the judge, who holds that against the rows.
 *
 * Each write carries a token of its own. Tokens that commit together are a group. A query notes when it sends a group
 * and when it has seen it completed; nothing of that comes from the pool. The rows are read on a connection that the
 * pool and the faults know nothing of, after every backend of the pool is gone, so that nothing can come after.
 *
 *     Succeeded            every group is there, once
 *     Failed, notApplied   none is
 *     Failed, partial      those that completed are, those that were not sent are not
 *     Failed, unknown      as partial, and what was sent may be; and something happened that explains it
 *     Failed, its own      as partial; in a transaction none is
 *     Cancelled            as unknown
 *     Skipped              none is
 *
 * Whatever its end, nothing is there twice, a group is there as a whole or not at all, and what the query rolled back
 * itself is not there.
 */
import { QueryError } from "querypool"
import type { QueryEvent } from "querypool"

/** Writes that commit together. */
export class Group {
  readonly tokens: ReadonlyArray<string>
  state: "unsent" | "sent" | "done" = "unsent"

  constructor(tokens: ReadonlyArray<string>) {
    this.tokens = tokens
  }

  sent(): void {
    if (this.state === "unsent") this.state = "sent"
  }

  done(): void {
    this.state = "done"
  }
}

/** A query of a round, by its own account. */
export interface Account {
  readonly name: string
  readonly kind: string
  /** Stands in a comment of its statements that write nothing. */
  readonly mark: string
  /** What it writes and means to keep. */
  readonly groups: ReadonlyArray<Group>
  /** What it writes and rolls back, or must not be able to write. */
  readonly discarded: ReadonlyArray<string>
  /** Whether it gives up on a write that takes too long, and goes on. */
  readonly givesUp: boolean
  /** Whether all of it is one transaction. */
  readonly atomic: boolean
  /** Whether it is told to its run before its turn. */
  readonly announced: boolean
}

type Ended = Extract<QueryEvent.QueryEvent, { readonly _tag: "Ended" }>

/** How many rows a token has. */
export type Counts = ReadonlyMap<string, number>

/** What is wrong with how a query ended, in words. */
export const judge = (
  account: Account,
  end: Pick<Ended, "outcome" | "error">,
  counts: Counts,
  explained: () => boolean
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const count = (token: string): number => counts.get(token) ?? 0
  const isThere = (group: Group): boolean => group.tokens.some((token) => count(token) > 0)
  const { atomic, discarded, groups } = account
  const none = (why: string): void => {
    if (groups.some(isThere)) wrong.push(`${why}, and something is there`)
  }
  const asNoted = (why: string): void => {
    for (const group of groups) {
      if (group.state === "done" && !isThere(group)) wrong.push(`${why}, and what had completed is not there`)
      if (group.state === "unsent" && isThere(group)) wrong.push(`${why}, and what was never sent is there`)
    }
  }

  for (const group of groups) {
    for (const token of group.tokens) if (count(token) > 1) wrong.push(`${token} was written ${count(token)} times`)
    if (isThere(group) && group.tokens.some((token) => count(token) === 0)) wrong.push("half of a transaction is there")
  }
  for (const token of discarded) if (count(token) > 0) wrong.push(`${token} was rolled back, and is there`)

  if (end.outcome === "Succeeded") {
    if (account.givesUp) asNoted("it succeeded")
    else if (!groups.every(isThere)) wrong.push("it succeeded, and something is missing")
  } else if (end.outcome === "Skipped") {
    none("it was skipped")
  } else if (end.outcome === "Cancelled") {
    asNoted("it was cancelled")
  } else if (end.error instanceof QueryError.QueryError) {
    const { outcome } = end.error
    if (outcome === "notApplied") none("it is notApplied")
    else asNoted(`it is ${outcome}`)
    if (outcome === "unknown" && !explained()) wrong.push("it is unknown, and nothing happened that explains it")
  } else if (atomic) {
    none("it failed with its own error in a transaction")
  } else {
    asNoted("it failed with its own error")
  }
  return wrong.map((text) => `${account.name}: ${text} (${describeEnd(end)}; ${groups.map((group) => group.state)})`)
}

/** How a query ended, in few words, for the figures. */
export const describeEnd = ({ error, outcome }: Pick<Ended, "outcome" | "error">): string => {
  if (outcome !== "Failed") return outcome
  return error instanceof QueryError.QueryError
    ? `Failed ${error.reason._tag} ${error.outcome}`
    : `Failed ${error instanceof Error ? error.name : String(error)}`
}

/** What is wrong with the events of a round: each query is handed over once and ends once. */
export const judgeEvents = (
  accounts: ReadonlyArray<Account>,
  events: ReadonlyArray<QueryEvent.QueryEvent>,
  interrupted: boolean
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const known = new Map(accounts.map((account) => [account.name, { account, submitted: 0, ended: 0, attempts: 0 }]))
  for (const event of events) {
    if (!("id" in event)) continue
    const life = known.get(event.name)
    if (life === undefined) {
      wrong.push(`${event._tag} of ${event.name}, which nobody handed over`)
      continue
    }
    // How a cancel ended may become known after its query's end.
    if (life.ended > 0 && event._tag !== "Ended" && event._tag !== "CancelEnded") {
      wrong.push(`${event.name}: ${event._tag} after its end`)
    }
    if (event._tag === "Submitted") life.submitted++
    if (event._tag === "Ended") life.ended++
    if (event._tag === "Started" && event.attempt <= life.attempts)
      wrong.push(`${event.name}: an attempt started twice`)
    if (event._tag === "Started") life.attempts = event.attempt
  }
  for (const { account, ended, submitted } of known.values()) {
    const neverCame = interrupted && !account.announced && submitted === 0 && ended === 0
    if (!neverCame && (submitted !== 1 || ended !== 1)) {
      wrong.push(`${account.name}: ${submitted} × Submitted, ${ended} × Ended`)
    }
  }
  return wrong
}
