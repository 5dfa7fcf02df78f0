import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, assert, beforeEach, describe, it, vi } from "vitest"
import { cacheFolders } from "../../../src/embedded/CacheFolder.ts"

const os = vi.hoisted(() => ({ homedir: (): string => "" }))

vi.mock(import("node:os"), async (original) => ({ ...(await original()), homedir: () => os.homedir() }))

const temporary = join(tmpdir(), "querypool-cache-1000")

describe("the folders for what can be made again", () => {
  beforeEach(() => {
    vi.stubEnv("XDG_CACHE_HOME", undefined)
    vi.spyOn(process, "getuid").mockReturnValue(1000)
    os.homedir = () => "/home/me"
  })

  afterEach(() => {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
  })

  it("are the configured one, the usual one, and one among the temporary files", () => {
    assert.deepStrictEqual(cacheFolders(), ["/home/me/.cache/querypool", temporary])
    vi.stubEnv("XDG_CACHE_HOME", "/cache")
    assert.deepStrictEqual(cacheFolders(), ["/cache/querypool", "/home/me/.cache/querypool", temporary])
  })

  it("are never below the folder where the program was started", () => {
    vi.stubEnv("XDG_CACHE_HOME", "cache")
    os.homedir = () => ""
    assert.deepStrictEqual(cacheFolders(), [temporary])
  })

  it("are there also for a user without a home", () => {
    os.homedir = () => {
      throw new Error("uv_os_homedir returned ENOENT (no such file or directory)")
    }
    assert.deepStrictEqual(cacheFolders(), [temporary])
  })

  it("are the system's for root, whatever home sudo keeps", () => {
    vi.spyOn(process, "getuid").mockReturnValue(0)
    assert.deepStrictEqual(cacheFolders(), ["/var/cache/querypool", join(tmpdir(), "querypool-cache-0")])
  })
})
