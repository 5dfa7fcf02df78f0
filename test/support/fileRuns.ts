/** Queries of .sql text, and what a run of them in this process needs: for tests and benches without the command. */
import { Effect, identity } from "effect"
import { planOf } from "../../src/cli/FilePlan.ts"
import type * as FileRun from "../../src/cli/FileRun.ts"
import * as Faults from "./Faults.ts"
import { queriesOf } from "./fileQueries.ts"

/** The plan of all queries of a text. */
export const filePlanOf = (text: string, name = "a") => Effect.suspend(() => planOf(queriesOf(text, name), []))

/** What is said of each query where no flag says anything. */
export const noFlags = {
  singleTransaction: false,
  readOnly: false,
  snapshot: false,
  timeout: undefined,
  retries: 0
} satisfies Partial<FileRun.Options>

/** How a run is run where no flag says anything, of which no row is kept. */
export const noRows: FileRun.Options = {
  ...noFlags,
  concurrency: 5,
  order: "given",
  stopOnError: false,
  maxRows: 0,
  keep: identity
}

/** A network on which nothing passes in either direction once this statement was sent, and nothing new is let in. */
export const freezingAt = Effect.fnUntraced(function* (
  statement: string,
  { host, port }: { readonly host: string; readonly port: number }
) {
  const faults = yield* Faults.make({ host, port })
  yield* faults.inject(Faults.freeze(), { after: Faults.fromClient("Execute", { statement }), hits: "everything" })
  return faults
})
