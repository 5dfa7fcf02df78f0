/** A small file system of its own, where this process may mount one: root in most containers may not. */
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { inFolder } from "./inFolder.ts"

const mount = (folder: string, options: string): void =>
  void execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder], { stdio: "ignore" })

/** Mounts one with these options, such as `size=1m`, for as long as the effect runs. */
export const inFileSystem = <A, E, R>(options: string, use: (folder: string) => Effect.Effect<A, E, R>) =>
  inFolder((folder) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const inside = join(folder, "small")
        mkdirSync(inside)
        mount(inside, options)
        return inside
      }),
      use,
      (inside) => Effect.sync(() => execFileSync("umount", [inside]))
    )
  )

/** Changes the options of one that is mounted. */
export const remount = (folder: string, options: string): void => mount(folder, `remount,${options}`)

export const mayMount = Effect.runSync(
  inFileSystem("size=64k", () => Effect.succeed(true)).pipe(Effect.catchDefect(() => Effect.succeed(false)))
)
