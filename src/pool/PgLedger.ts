/**
 * What a unit has done to the database so far, as far as can be known: from it follows what would be kept of the unit
 * if it failed now, and so whether it may be tried again.
 *
 *     outside of a transaction          in a transaction
 *     a statement is sent: unanswered   a statement is sent: its loss is the transaction's rollback
 *     it completes: completed + 1       it completes: nothing is kept yet
 *     it is refused: nothing is kept    COMMIT is sent: unanswered; it completes: completed + 1
 *
 * A statement that reads counts as one that writes: what `select f()` does cannot be known.
 *
 * @internal
 */
import type { UnitFacts } from "./PgErrors.ts"
import type { Verdict } from "./PgResidue.ts"

/** @internal */
export class PgLedger implements UnitFacts {
  completed = 0
  unanswered: UnitFacts["unanswered"] = "nothing"
  tainted = false
  /** Whether the unit has a transaction open. */
  open = false

  sent({ effect, residue }: Verdict): void {
    // The unit goes on after a statement that it interrupted: the next one's answer says nothing of that one.
    if (this.unanswered === "statement" || this.unanswered === "commit") this.tainted = true
    if (effect === "commit") this.unanswered = this.open ? "commit" : "statement"
    else if (this.open) this.unanswered = "inTransaction"
    else if (effect !== "nothing") this.unanswered = "statement"
    if (residue === "begin") this.open = true
  }

  succeeded({ effect, residue }: Verdict): void {
    const { unanswered } = this
    this.unanswered = "nothing"
    if (unanswered === "statement" || (unanswered === "commit" && effect === "commit")) this.completed++
    if (residue === "end") this.open = false
  }

  /** The server answered with an error. */
  refused({ effect }: Verdict): void {
    if (this.unanswered === "statement" && effect === "part") this.tainted = true
    this.unanswered = "nothing"
  }

  /** The transaction whose COMMIT was not answered turned out to be rolled back. */
  rolledBack(): void {
    this.unanswered = "nothing"
  }

  /** It turned out to be committed. */
  committed(): void {
    this.unanswered = "nothing"
    this.completed++
    this.open = false
  }
}
