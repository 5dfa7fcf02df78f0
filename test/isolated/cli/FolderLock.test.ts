import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { inFolder } from "../../support/inFolder.ts"

const script = fileURLToPath(new URL("./lockRounds.ts", import.meta.url))

const run = promisify(execFile)

/** Of a process that has ended. */
const goneId = async (): Promise<number> => {
  const { stdout } = await run("/bin/sh", ["-c", "echo $$"])
  return Number(stdout)
}

describe("the lock of a folder", () => {
  it.live("is one process's at a time, of many that take over what others have left", () =>
    inFolder((folder) =>
      Effect.promise(async () => {
        const gone = await goneId()
        const args = ["--conditions=@querypool/source", script, folder, "100", String(gone)]
        const all = await Promise.all([1, 2, 3].map(() => run(process.execPath, args)))
        const counts: ReadonlyArray<Readonly<Record<"had" | "shared", number>>> = all.map(({ stdout }) =>
          JSON.parse(stdout)
        )
        for (const { had, shared } of counts) {
          assert.strictEqual(shared, 0)
          assert.isAbove(had, 0)
        }
        const left = readdirSync(folder).filter((name) => !name.startsWith(`lock.${gone}-`))
        assert.deepStrictEqual(left, [])
      })
    )
  )
})
