import { syncBuiltinESMExports } from "node:module"
import os, { tmpdir } from "node:os"
import { afterEach, assert, describe, it, vi } from "vitest"
import { cacheFolders } from "../../../src/embedded/CacheFolder.ts"

afterEach(() => {
  vi.restoreAllMocks()
  syncBuiltinESMExports()
  vi.unstubAllEnvs()
})

describe("the folder for what can be made again", () => {
  it("is among the temporary files for a user that the system has neither a name nor a home for", () => {
    vi.stubEnv("XDG_CACHE_HOME", undefined)
    vi.spyOn(process, "getuid").mockReturnValue(12_345)
    vi.spyOn(os, "homedir").mockImplementation(() => {
      throw new Error("uv_os_homedir returned ENOENT")
    })
    syncBuiltinESMExports()
    assert.deepStrictEqual(cacheFolders(), [`${tmpdir()}/querypool-cache-12345`])
  })
})
