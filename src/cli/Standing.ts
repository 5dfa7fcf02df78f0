/**
 * What is to be done with a query, by what is known of the time before:
 *
 *     its key in the journal             with --resume
 *     Succeeded, its file is there       kept as it is
 *     Succeeded, its file is not         run; one that may write is refused, as it would write twice
 *     failed, with nothing kept          run
 *     started, or failed otherwise       one that may write is refused: it is not known whether it was applied
 *     not there                          run
 *
 * `-- idempotent` allows what would be refused.
 *
 * @internal
 */
import { Data } from "effect"
import type { OutFile } from "./FileOut.ts"
import type { Ended, Started } from "./JournalRecord.ts"

/** A query of the run before that may have been applied, and is not run again. */
class MayBeApplied extends Data.TaggedError("MayBeApplied")<{ readonly message: string }> {}

/** @internal */
export type Standing =
  | { readonly _tag: "Run" }
  | { readonly _tag: "Kept"; readonly rows: number; readonly file: OutFile | undefined }
  | { readonly _tag: "Refused"; readonly error: MayBeApplied }

/** @internal */
export const toRun: Standing = { _tag: "Run" }

/** @internal */
export const kept = ({ bytes, rows }: Ended, path: string | undefined): Standing => ({
  _tag: "Kept",
  rows,
  file: path === undefined || bytes === undefined ? undefined : { path, bytes }
})

/**
 * Of a query that would write again.
 *
 * @internal
 */
export const ofWriter = (last: Started | Ended): Standing => {
  const isEnded = last._tag === "ended"
  const isApplied = isEnded && last.outcome === "Succeeded"
  if (isEnded && !isApplied && (last.kept ?? "notApplied") === "notApplied") return toRun
  const what = isApplied
    ? "it was applied, and its file is not there any more"
    : "it is not known whether it was applied: the run before ended in the middle of it"
  const advice = `If it is to be run again, run it with --select ${last.name} and another --out, or say \`-- idempotent\``
  return { _tag: "Refused", error: new MayBeApplied({ message: `${what}. ${advice}` }) }
}
