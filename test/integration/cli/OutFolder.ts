/** The folder of `--out`, and what a run has left there and on the server. */
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { inFolder } from "../../support/inFolder.ts"
import { Pg } from "../../support/Pg.ts"

/** One that is not there yet, in a folder that is. */
export const inOut = <A, E, R>(use: (out: string, folder: string) => Effect.Effect<A, E, R>) =>
  inFolder((folder) => use(join(folder, "out"), folder))

export const journalPath = (out: string): string => join(out, ".querypool", "journal.ndjson")

/** Its text, which is empty where there is none. */
export const journalOf = (out: string): string => {
  const path = journalPath(out)
  return existsSync(path) ? readFileSync(path, "utf8") : ""
}

/** How many rows a table has, or as many of them as a condition behind its name allows. */
export const counted = (table: string) =>
  Effect.flatMap(Pg, ({ observer }) => observer.value(`select count(*)::int from ${table}`))
