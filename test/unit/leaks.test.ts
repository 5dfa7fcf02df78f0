import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findLastingLeaks, findLeaks, takeStock } from "../support/leaks.ts"

const leaksOf = async (leave: () => unknown): Promise<ReadonlyArray<string>> => {
  const before = await takeStock()
  await leave()
  return findLeaks(before)
}

describe("the check for what a test leaves in this process", () => {
  it("names a fiber that waits, and forgets it when it ends", async () => {
    const before = await takeStock()
    const fiber = Effect.runFork(Effect.never)
    assert.deepStrictEqual(await findLeaks(before), ["1 × suspended fiber"])
    await Effect.runPromise(Fiber.interrupt(fiber))
    assert.deepStrictEqual(await findLastingLeaks(before), [])
  })

  it("names a server", async () => {
    const server = createServer()
    assert.deepStrictEqual(await leaksOf(() => once(server.listen(0, "127.0.0.1"), "listening")), ["1 × server"])
    server.close()
  })

  it("names a child process that this process would not wait for", async () => {
    let child: ChildProcess | undefined
    const leaks = await leaksOf(() => {
      child = spawn("sleep", ["60"], { stdio: "ignore" })
      child.unref()
    })
    assert.deepStrictEqual(leaks, ["1 × child process"])
    child?.kill()
  })

  it("names a folder of ours in the temporary folder", async () => {
    let folder = ""
    const leaks = await leaksOf(() => (folder = mkdtempSync(join(tmpdir(), "querypool-left-"))))
    assert.match(leaks.join(), /^folder querypool-left-\w+$/)
    rmSync(folder, { recursive: true })
  })

  let left: Fiber.Fiber<never>
  it.fails("fails a test that leaves a fiber", () => {
    left = Effect.runFork(Effect.never)
    assert.isUndefined(left.pollUnsafe())
  })

  it("passes the next test", async () => {
    await Effect.runPromise(Fiber.interrupt(left))
    assert.isDefined(left.pollUnsafe())
  })
})
