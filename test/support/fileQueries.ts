import { Result } from "effect"
import type { FileQuery } from "../../src/cli/QueryFiles.ts"
import { parseSqlFile } from "../../src/cli/SqlFile.ts"

/** The queries of a file with this text, as the command reads them. */
export const queriesOf = (text: string, name = "q", file = `${name}.sql`): ReadonlyArray<FileQuery> => {
  const source = Result.getOrThrow(parseSqlFile({ file, defaultName: name, text }))
  return source.queries.map((query) => ({ ...query, source }))
}

/** Queries of three waves, and one that needs nothing. None of them could be run. */
export const dailySql = `
  -- name: report
  -- needs: users, orders
  select nothing at all;
  -- name: users
  -- needs: load
  select nothing at all;
  -- name: orders
  -- needs: load
  select nothing at all;
  -- name: load
  -- tag: team=data
  select nothing at all;
  -- name: vacuum
  vacuum nothing;`
