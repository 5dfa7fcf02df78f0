/**
 * Which statement a message is about.
 *
 * A client that keeps prepared statements sends their text once, and one that pipelines sends several statements before
 * the first answer. So names are resolved (a Bind's statement, an Execute's portal), and each answer belongs to the
 * oldest request that has none yet: ParseComplete to a Parse, CommandComplete to an Execute, ReadyForQuery to a Sync.
 * After an ErrorResponse the server skips everything up to the next Sync.
 */
import { backend, frontend, readText } from "./PgFrames.ts"

interface Request {
  readonly code: number
  readonly statement: string | undefined
}

/** What ends a request, by the type of the answer. A Query ends with ReadyForQuery only. */
const endOf: ReadonlyMap<number, number> = new Map([
  [backend.ParseComplete, frontend.Parse],
  [backend.BindComplete, frontend.Bind],
  [backend.CloseComplete, frontend.Close],
  [backend.RowDescription, frontend.Describe],
  [backend.NoData, frontend.Describe],
  [backend.CommandComplete, frontend.Execute],
  [backend.EmptyQueryResponse, frontend.Execute],
  [backend.PortalSuspended, frontend.Execute]
])

const statementKind = 0x53

export class PgConversation {
  private readonly statements = new Map<string, string>()
  private readonly portals = new Map<string, string | undefined>()
  private readonly unanswered: Array<Request> = []
  private latest: string | undefined
  /** An error came, and the Sync that ends the skipping has not been sent yet. */
  private skipping = false

  /** The statement of a message to the server; that of a Sync is the one before it. */
  ask(code: number, bytes: Buffer, contentAt: number): string | undefined {
    switch (code) {
      case frontend.Parse: {
        const name = readText(bytes, contentAt)
        this.latest = readText(bytes, name.next).text
        this.statements.set(name.text, this.latest)
        break
      }
      case frontend.Bind: {
        const portal = readText(bytes, contentAt)
        this.latest = this.statements.get(readText(bytes, portal.next).text)
        this.portals.set(portal.text, this.latest)
        break
      }
      case frontend.Execute:
        this.latest = this.portals.get(readText(bytes, contentAt).text)
        break
      case frontend.Query:
        this.latest = readText(bytes, contentAt).text
        break
      case frontend.Describe:
      case frontend.Close: {
        const { text } = readText(bytes, contentAt + 1)
        const named = bytes[contentAt] === statementKind ? this.statements : this.portals
        this.latest = named.get(text)
        if (code === frontend.Close) named.delete(text)
        break
      }
      case frontend.Sync:
      case frontend.FunctionCall:
        break
      default:
        return this.latest
    }
    if (code === frontend.Sync || code === frontend.Query) this.skipping = false
    if (!this.skipping) this.unanswered.push({ code, statement: this.latest })
    return this.latest
  }

  /** The statement of a message to the client; none before the first, and of what the server says unasked. */
  answer(code: number): string | undefined {
    const request = this.unanswered[0]
    if (request === undefined) return undefined
    if (code === backend.ErrorResponse) this.skipToSync()
    else if (code === backend.ReadyForQuery || endOf.get(code) === request.code) this.unanswered.shift()
    return request.statement
  }

  private skipToSync(): void {
    const ends = this.unanswered.findIndex(({ code }) => isEndedByReadiness(code))
    this.skipping = ends < 0
    this.unanswered.splice(0, ends < 0 ? Infinity : ends)
  }
}

const isEndedByReadiness = (code: number): boolean =>
  code === frontend.Sync || code === frontend.Query || code === frontend.FunctionCall
