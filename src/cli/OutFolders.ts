/**
 * The folders that a command writes to: one, or one for each target, by its name. A target has its own lock and journal
 * there, and is gone on with by itself; but it is one run: as long as one target is unfinished, none starts anew. All are
 * opened before anything is run.
 *
 * @internal
 */
import { Console, Effect, Path, Random } from "effect"
import { UsageError } from "./CliFailure.ts"
import { outPlan } from "./FileOut.ts"
import type { Where } from "./OutFlags.ts"
import { faultOfName, folded } from "./OutNames.ts"
import * as OutRun from "./OutRun.ts"
import type { FileQuery } from "./QueryFiles.ts"
import type { Defaults } from "./QueryOptions.ts"
import type { Target } from "./TargetsFile.ts"
import { listed, toLine } from "./TextValue.ts"

/**
 * Opens the files of a run, or of each of its targets: there in a folder by the target's name. `among` are the names of
 * all queries in the files, of which `queries` are selected.
 *
 * @internal
 */
export const outFolders = Effect.fnUntraced(function* (
  where: Where,
  queries: ReadonlyArray<FileQuery>,
  among: ReadonlyArray<string>,
  defaults: Defaults
) {
  const plan = yield* outPlan(queries, where.format.extension)
  const work = { queries, plan, defaults, among }
  const open = (folder: string) => OutRun.open({ ...where, folder }, work)
  const opened: Array<OutRun.OutRun> = []
  const begun = Effect.fnUntraced(function* (folders: ReadonlyArray<OutRun.Folder>) {
    const unfinished = yield* runsToGoOnWith(where, folders, work)
    const [name = (yield* Random.nextIntBetween(0, 0x7fffffff)).toString(16)] = unfinished
    const runs = yield* Effect.forEach(folders, (folder) =>
      // What is over there was over as part of the same run, or is to be done again.
      OutRun.make(folder, where, work, { name, goesOn: unfinished.has(folder.past.run) })
    )
    opened.push(...runs)
    return runs
  })
  const ofRun = Effect.gen(function* () {
    const [out] = yield* begun([yield* open(where.folder)])
    return out
  })
  const ofTargets = Effect.fnUntraced(function* (targets: ReadonlyArray<Target>, file: string) {
    const path = yield* Path.Path
    yield* checkNames(targets, file)
    const runs = yield* begun(yield* Effect.forEach(targets, ({ name }) => open(path.join(where.folder, name))))
    const outs = new Map(targets.map((target, index) => [target, runs[index]]))
    return (target: Target) => outs.get(target)
  })
  /** Nothing is left to do for any of them. */
  const over = Effect.suspend(() => Effect.forEach(opened, (out) => out.over, { discard: true }))
  return { ofRun, ofTargets, over }
})

const checkNames = Effect.fnUntraced(function* (targets: ReadonlyArray<Target>, file: string) {
  const named = new Map<string, string>()
  for (const { name } of targets) {
    const other = named.get(folded(name))
    const fault = other === undefined ? faultOfName(name, "") : `its folder would be that of "${toLine(other)}"`
    if (fault !== undefined) {
      const message = `${toLine(file)}: target "${toLine(name)}" gives its name to no folder of --out: ${fault}. Rename it`
      return yield* new UsageError({ message })
    }
    named.set(folded(name), name)
  }
})

/** By their names. None where all begins anew. */
const runsToGoOnWith = Effect.fnUntraced(function* (
  { folder, resume }: Where,
  folders: ReadonlyArray<OutRun.Folder>,
  { among, queries }: OutRun.Work
) {
  const at = toLine(folder)
  const isOpen = ({ past }: OutRun.Folder) => among.some((name) => past.open.has(name))
  const unfinished = folders.filter(isOpen)
  const open = new Set(unfinished.flatMap(({ past }) => [...past.open]))
  if (!resume) {
    if (unfinished.length === 0) return new Set<string | undefined>()
    const selected = new Set(queries.map(({ name }) => name))
    const how = among.some((name) => open.has(name) && !selected.has(name))
      ? "starting anew with what is selected, and the rest stays for --resume"
      : "starting anew, where --resume would have gone on with it"
    yield* Console.error(`The run in ${at} was not finished: ${how}`)
    return new Set<string | undefined>()
  }
  if (unfinished.length === 0) {
    yield* Console.error(`There is no unfinished run of these queries in ${at}: starting anew`)
  }
  for (const name of among) open.delete(name)
  if (open.size > 0) {
    yield* Console.error(`Not in these files any more, and left as unfinished in ${at}: ${listed([...open], 3)}`)
  }
  return new Set(unfinished.map(({ past }) => past.run))
})
