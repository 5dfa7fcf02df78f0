/**
 * Which queries of files are run, and after which others: what `--select` chooses, and the plan of what they need.
 *
 * Everything is checked before anything is run: needs that lead in a circle, needs and selections that name no query.
 *
 * @internal
 */
import { Effect } from "effect"
import * as Plan from "../query/Plan.ts"
import { UsageError } from "./CliFailure.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { listed, toLine } from "./TextValue.ts"

/**
 * Queries in the order of their files, and their plan.
 *
 * @internal
 */
export interface FilePlan {
  readonly queries: ReadonlyArray<FileQuery>
  /** Durations are in milliseconds. */
  readonly plan: Plan.Plan
}

const usage = (message: string) => new UsageError({ message })

/**
 * The plan of the queries that are selected, with all that they need.
 *
 * @internal
 */
export const planOf = Effect.fnUntraced(function* (
  queries: ReadonlyArray<FileQuery>,
  selections: ReadonlyArray<string>
): Effect.fn.Return<FilePlan, UsageError> {
  // Also what is not selected has to be right: a selection is not to hide a mistake.
  const plan = yield* checked(queries)
  if (selections.length === 0) return { queries, plan }
  const selected = new Set<FileQuery>()
  for (const selection of selections) {
    const found = queries.filter(matcher(selection))
    if (found.length === 0) return yield* usage(nothingSelected(selection, queries))
    for (const query of found) selected.add(query)
  }
  const names = new Set([...selected].map(({ name }) => name))
  const needed = new Set(Plan.withNeeds(plan, ({ name }) => names.has(name)).map(({ name }) => name))
  const kept = queries.filter(({ name }) => needed.has(name))
  return { queries: kept, plan: yield* checked(kept) }
})

/**
 * The same with what each query is expected to take, in milliseconds, as far as that is known.
 *
 * @internal
 */
export const withEstimates = (
  { queries }: FilePlan,
  estimates: ReadonlyArray<number | undefined>
): Effect.Effect<FilePlan> =>
  // They are those of a plan, and were checked for it.
  Effect.orDie(Effect.map(checked(queries, estimates), (plan) => ({ queries, plan })))

const checked = (
  queries: ReadonlyArray<FileQuery>,
  estimates: ReadonlyArray<number | undefined> = []
): Effect.Effect<Plan.Plan, UsageError> =>
  Effect.mapError(
    Effect.fromResult(
      Plan.make(
        queries.map(({ name, settings }, index) => ({
          name,
          needs: (settings.needs ?? []).map((need) => need.name),
          expected: estimates[index]
        }))
      )
    ),
    (error) => usage(messageOf(error, queries))
  )

const messageOf = (error: Plan.PlanError, queries: ReadonlyArray<FileQuery>): string => {
  const queryOf = (name: string) => queries.find((query) => query.name === name)
  const placeOf = (name: string, need: string): string => {
    const query = queryOf(name)
    const line = query?.settings.needs?.find((one) => one.name === need)?.line ?? query?.line ?? 1
    return `${query?.file}:${line}`
  }
  switch (error._tag) {
    case "DuplicateName":
      return `${queryOf(error.name)?.file}: ${error.message}`
    case "UnknownNeed": {
      const { name, need } = error
      const meant = error.nearest ?? queries.find((query) => lastPart(query.name) === lastPart(need))?.name
      const advice = meant === undefined ? "Give its file, too" : `Did you mean "${toLine(meant)}"?`
      return `${placeOf(name, need)}: query "${toLine(name)}" needs "${toLine(need)}", which is no query of this run. ${advice}`
    }
    case "Cycle":
      return [
        "Queries need each other in a circle, so none of them can start. Remove one of these needs:",
        ...error.names.slice(0, -1).map((name, at) => {
          const need = error.names[at + 1] ?? ""
          return `  ${placeOf(name, need)}: ${toLine(name)} needs ${toLine(need)}`
        })
      ].join("\n")
  }
}

/** A name is a path below the folder that was given, which may be another than the writer had in mind. */
const lastPart = (name: string): string => name.slice(name.lastIndexOf("/") + 1).replace(/\.sql$/, "")

/** What selects by tags begins so; no name does, unless that of a file. */
const tagPrefix = "tag:"

/** `daily/*`: names, where `*` stands for anything within a folder, `**` for folders, too, and `?` for one character. */
const globs: Readonly<Record<string, string>> = { "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]" }

const matcher = (selection: string): ((query: FileQuery) => boolean) => {
  if (!selection.startsWith(tagPrefix)) {
    const pattern = selection.replace(
      /\*\*\/|\*\*|[*?]|[^*?]+/g,
      (part) => globs[part] ?? part.replace(/[\\^$.+()[\]{}|/]/g, "\\$&")
    )
    const expression = new RegExp(`^${pattern}$`, "u")
    return ({ name }) => expression.test(name)
  }
  const [, key = "", value] = /^([^=]*)=?(.+)?$/s.exec(selection.slice(tagPrefix.length)) ?? []
  return ({ settings: { tags = {} } }) => Object.hasOwn(tags, key) && (value === undefined || tags[key] === value)
}

const nothingSelected = (selection: string, queries: ReadonlyArray<FileQuery>): string => {
  const start = `--select "${toLine(selection)}"`
  if (!selection.startsWith(tagPrefix)) {
    return `${start}: no query has such a name. There are: ${listed(queries.map(({ name }) => name))}`
  }
  const tags = new Set(
    queries.flatMap(({ settings }) => Object.entries(settings.tags ?? {}).map(([key, value]) => `tag:${key}=${value}`))
  )
  return tags.size === 0
    ? `${start}: no query has a tag. Tags stand in lines \`-- tag: key=value\``
    : `${start}: no query has such a tag. There are: ${listed([...tags])}`
}
