import { Effect } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A cache folder of the test's own in this process, until the scope closes; a command is told of it by its environment. */
export const cacheFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await mkdtemp(join(tmpdir(), "querypool-test-"))
    const before = process.env["XDG_CACHE_HOME"]
    process.env["XDG_CACHE_HOME"] = folder
    return { folder, before, file: join(folder, "querypool", "durations.json") }
  }),
  ({ before, folder }) =>
    Effect.promise(async () => {
      if (before === undefined) delete process.env["XDG_CACHE_HOME"]
      else process.env["XDG_CACHE_HOME"] = before
      await rm(folder, { recursive: true })
    })
)
