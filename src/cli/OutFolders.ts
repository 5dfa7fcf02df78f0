/**
 * The folders that a command writes to: one, or one for each target, by its name. A target is a run of its own there, with
 * its own lock and journal: one that was down is gone on with by itself. All are opened before anything is run.
 *
 * @internal
 */
import { Effect, Path } from "effect"
import { UsageError } from "./CliFailure.ts"
import { outPlan } from "./FileOut.ts"
import type { Where } from "./OutFlags.ts"
import { faultOfName, folded } from "./OutNames.ts"
import * as OutRun from "./OutRun.ts"
import type { FileQuery } from "./QueryFiles.ts"
import type { Defaults } from "./QueryOptions.ts"
import type { Target } from "./TargetsFile.ts"
import { toLine } from "./TextValue.ts"

/**
 * Opens the files of a run, or of each of its targets: there in a folder by the target's name.
 *
 * @internal
 */
export const outFolders = Effect.fnUntraced(function* (
  where: Where,
  queries: ReadonlyArray<FileQuery>,
  defaults: Defaults
) {
  const plan = yield* outPlan(queries, where.format.extension)
  const open = (folder: string) => OutRun.open({ ...where, folder }, plan, queries, defaults)
  const ofTargets = Effect.fnUntraced(function* (targets: ReadonlyArray<Target>, file: string) {
    const path = yield* Path.Path
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
    const outs = new Map<Target, OutRun.OutRun>()
    for (const target of targets) outs.set(target, yield* open(path.join(where.folder, target.name)))
    return (target: Target) => outs.get(target)
  })
  return { ofRun: open(where.folder), ofTargets }
})
