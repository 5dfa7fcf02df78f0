import { assert, describe, it } from "@effect/vitest"
import type { Path } from "effect"
import { Effect, Exit, Fiber, FileSystem, Layer, PlatformError } from "effect"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as SinkFile from "../../../src/sink/SinkFile.ts"
import type { SinkError } from "../../../src/sink/SinkError.ts"
import { files, inFolder } from "../../support/inFolder.ts"

const text = (value: string) => Buffer.from(value)

/** Writes a file and keeps it. */
const kept = (path: string, content: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = yield* SinkFile.create(path)
      for (const piece of content) yield* file.write(text(piece))
      yield* file.keep
      return file.bytes()
    })
  )

/** The file system, of which one operation fails as the operating system would make it fail. */
const failing = (operation: "open" | "rename" | "sync" | "writeAll", code: string, after = 0) =>
  Layer.provideMerge(
    Layer.effect(
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (fs) => {
        let left = after
        const cause = Object.assign(new Error(`${code}: made up`), { code })
        const failure = Effect.fail(
          PlatformError.systemError({ _tag: "Unknown", module: "FileSystem", method: operation, cause })
        )
        const unless = <A, R>(name: string, effect: Effect.Effect<A, PlatformError.PlatformError, R>) =>
          name === operation ? Effect.suspend(() => (left-- > 0 ? effect : failure)) : effect
        return FileSystem.FileSystem.of({
          ...fs,
          open: (path, options) =>
            Effect.map(unless("open", fs.open(path, options)), (file) => ({
              ...file,
              sync: unless("sync", file.sync),
              writeAll: (bytes: Uint8Array) => unless("writeAll", file.writeAll(bytes))
            })),
          rename: (from, to) => unless("rename", fs.rename(from, to))
        })
      })
    ),
    files
  )

const failureOf = <A>(effect: Effect.Effect<A, SinkError, FileSystem.FileSystem | Path.Path>) => Effect.flip(effect)

describe("a file", () => {
  it.effect("is there under its name when it is kept, and not before", () =>
    inFolder((folder) =>
      Effect.scoped(
        Effect.gen(function* () {
          const path = join(folder, "a.csv")
          const file = yield* SinkFile.create(path)
          yield* file.write(text("one,"))
          yield* file.write(text("two\n"))
          const [partial] = readdirSync(folder)
          assert.match(partial ?? "", new RegExp(`^\\.a\\.csv\\.${process.pid}-[0-9a-f]{6}\\.partial$`))
          yield* file.keep
          assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
          assert.strictEqual(readFileSync(path, "utf8"), "one,two\n")
          assert.strictEqual(file.bytes(), 8)
        })
      )
    ).pipe(Effect.provide(files))
  )

  it.effect("leaves nothing when it is not kept, and what was there as it was", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const path = join(folder, "a.csv")
        writeFileSync(path, "before")
        yield* Effect.scoped(Effect.flatMap(SinkFile.create(path), (file) => file.write(text("after"))))
        const interrupted = yield* Effect.forkChild(
          Effect.scoped(
            Effect.gen(function* () {
              const file = yield* SinkFile.create(path)
              yield* file.write(text("after"))
              return yield* Effect.never
            })
          ),
          { startImmediately: true }
        )
        while (readdirSync(folder).length < 2) yield* Effect.promise(() => new Promise((done) => setImmediate(done)))
        yield* Fiber.interrupt(interrupted)
        assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
        assert.strictEqual(readFileSync(path, "utf8"), "before")
      })
    ).pipe(Effect.provide(files))
  )

  it.effect("replaces another, and can be read by those who could read that", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const path = join(folder, "a.csv")
        writeFileSync(path, "before")
        chmodSync(path, 0o600)
        assert.strictEqual(yield* kept(path, "after"), 5)
        assert.strictEqual(readFileSync(path, "utf8"), "after")
        assert.strictEqual(statSync(path).mode & 0o777, 0o600)
        yield* kept(join(folder, "b.csv"), "")
        assert.strictEqual(statSync(join(folder, "b.csv")).mode & 0o777, 0o666 & ~process.umask())
        assert.deepStrictEqual(readdirSync(folder), ["a.csv", "b.csv"])
      })
    ).pipe(Effect.provide(files))
  )

  it.effect("is where a link leads, and the link stays one", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        mkdirSync(join(folder, "elsewhere"))
        writeFileSync(join(folder, "elsewhere", "real.csv"), "before")
        symlinkSync(join("elsewhere", "real.csv"), join(folder, "link.csv"))
        yield* kept(join(folder, "link.csv"), "after")
        assert.strictEqual(readFileSync(join(folder, "elsewhere", "real.csv"), "utf8"), "after")
        assert.deepStrictEqual(readdirSync(join(folder, "elsewhere")), ["real.csv"])
        assert.deepStrictEqual(readdirSync(folder), ["elsewhere", "link.csv"])
      })
    ).pipe(Effect.provide(files))
  )

  it.effect("may have a name as long as the file system allows", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const name = `${"é".repeat(125)}.csv`
        yield* kept(join(folder, name), "x")
        assert.deepStrictEqual(readdirSync(folder), [name])
      })
    ).pipe(Effect.provide(files))
  )

  it.effect("is written by several at once, of which each leaves a whole one", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const path = join(folder, "a.csv")
        yield* Effect.forEach("abcdefgh", (letter) => kept(path, letter.repeat(200)), { concurrency: "unbounded" })
        assert.match(readFileSync(path, "utf8"), /^(.)\1{199}$/)
        assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
      })
    ).pipe(Effect.provide(files))
  )
})

/** The file system, with a note of what is done to files, and one operation of them that waits to be let on. */
const noted = (waiting?: "rename" | "writeAll") => {
  const done: Array<string> = []
  const arrived = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  const note = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
    Effect.tap(
      name === waiting
        ? Effect.andThen(
            Effect.promise(() => {
              arrived.resolve()
              return released.promise
            }),
            effect
          )
        : effect,
      () => Effect.sync(() => done.push(name))
    )
  const layer = Layer.provideMerge(
    Layer.effect(
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (fs) =>
        FileSystem.FileSystem.of({
          ...fs,
          open: (path, options) =>
            Effect.map(fs.open(path, options), (file) => ({
              ...file,
              sync: note(options?.flag === "r" ? "sync of the folder" : "sync", file.sync),
              writeAll: (bytes: Uint8Array) => note("writeAll", file.writeAll(bytes))
            })),
          rename: (from, to) => note("rename", fs.rename(from, to))
        })
      )
    ),
    files
  )
  return { done, arrived: Effect.promise(() => arrived.promise), release: () => released.resolve(), layer }
}

describe("a file, in which order", () => {
  it.effect("is on the disk before it has its name, and its name is then", () => {
    const { done, layer } = noted()
    return inFolder((folder) => kept(join(folder, "a.csv"), "x")).pipe(
      Effect.provide(layer),
      Effect.andThen(
        Effect.sync(() => assert.deepStrictEqual(done, ["writeAll", "sync", "rename", "sync of the folder"]))
      )
    )
  })

  it.effect.each(["writeAll", "rename"] as const)("is not left in the middle of %s", (operation) => {
    const { arrived, done, layer, release } = noted(operation)
    return inFolder((folder) =>
      Effect.gen(function* () {
        const writing = yield* Effect.forkChild(kept(join(folder, "a.csv"), "x"))
        yield* arrived
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(writing), { startImmediately: true })
        for (let turn = 0; turn < 20; turn++) yield* Effect.promise(() => new Promise((next) => setImmediate(next)))
        assert.isUndefined(interrupting.pollUnsafe())
        release()
        yield* Fiber.join(interrupting)
        assert.include(done, operation)
        assert.deepStrictEqual(readdirSync(folder), operation === "rename" ? ["a.csv"] : [])
      })
    ).pipe(Effect.provide(layer))
  })
})

describe("a file that cannot be", () => {
  it.effect("is refused in place of a folder", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        mkdirSync(join(folder, "a.csv"))
        const error = yield* failureOf(kept(join(folder, "a.csv"), "x"))
        assert.strictEqual(error.reason._tag, "NotAFile")
        assert.strictEqual(error.message, `Cannot write ${join(folder, "a.csv")}: that is a folder: name a file in it`)
        assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
      })
    ).pipe(Effect.provide(files))
  )

  it.effect("is refused in place of a device, which it would replace", () =>
    Effect.gen(function* () {
      const error = yield* failureOf(kept("/dev/null", "x"))
      assert.strictEqual(
        error.message,
        "Cannot write /dev/null: that is no file, and would be replaced by one: choose another name"
      )
    }).pipe(Effect.provide(files))
  )

  it.effect("is refused in a folder that is not there, or is a file", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        writeFileSync(join(folder, "file"), "x")
        for (const parent of [join(folder, "nowhere"), join(folder, "file")]) {
          const error = yield* failureOf(kept(join(parent, "a.csv"), "x"))
          assert.strictEqual(
            error.message,
            `Cannot write ${join(parent, "a.csv")}: there is no folder ${parent}: create it first`
          )
        }
        assert.deepStrictEqual(readdirSync(folder), ["file"])
      })
    ).pipe(Effect.provide(files))
  )

  it.effect("fails when its folder vanishes while it is written", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const parent = join(folder, "gone")
        mkdirSync(parent)
        const error = yield* failureOf(
          Effect.scoped(
            Effect.gen(function* () {
              const file = yield* SinkFile.create(join(parent, "a.csv"))
              yield* file.write(text("x"))
              rmSync(parent, { recursive: true })
              yield* file.write(text("y"))
              yield* file.keep
            })
          )
        )
        assert.strictEqual(error.reason._tag, "NoFolder")
        assert.isFalse(existsSync(parent))
      })
    ).pipe(Effect.provide(files))
  )

  it.effect("fails when a folder takes its place while it is written", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const path = join(folder, "a.csv")
        const error = yield* failureOf(
          Effect.scoped(
            Effect.gen(function* () {
              const file = yield* SinkFile.create(path)
              mkdirSync(path)
              yield* file.keep
            })
          )
        )
        assert.strictEqual(error.reason._tag, "NotAFile")
        assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
      })
    ).pipe(Effect.provide(files))
  )

  it.effect.each([
    ["writeAll", "ENOSPC", 3, "no space is left after 3 bytes: free some, or choose another disk"],
    ["writeAll", "EDQUOT", 0, "no space is left after 0 bytes: free some, or choose another disk"],
    ["sync", "ENOSPC", 0, "no space is left after 4 bytes: free some, or choose another disk"],
    ["open", "EROFS", 0, "the file system is read-only: choose another folder"],
    ["open", "EACCES", 0, "the folder may not be written to: change its rights, or choose another"],
    ["rename", "EPERM", 0, "the folder may not be written to: change its rights, or choose another"],
    ["writeAll", "EIO", 0, "EIO: made up"],
    ["sync", "EIO", 0, "EIO: made up"]
  ] as const)(
    "says in a line what is wrong when %s fails with %s, and leaves nothing",
    ([operation, code, after, says]) =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const path = join(folder, "a.csv")
          writeFileSync(path, "before")
          const error = yield* failureOf(kept(path, "1234"))
          assert.strictEqual(error.message, `Cannot write ${path}: ${says}`)
          assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
          assert.strictEqual(readFileSync(path, "utf8"), "before")
        })
      ).pipe(Effect.provide(failing(operation, code, after)))
  )

  it.effect("is kept where the folder itself cannot be synced", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(kept(join(folder, "a.csv"), "x"))
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
      })
    ).pipe(Effect.provide(failing("sync", "EINVAL", 1)))
  )

  it.effect("is refused with a name that is none", () =>
    Effect.gen(function* () {
      const error = yield* failureOf(kept("a\0b.csv", "x"))
      assert.strictEqual(error.reason._tag, "WriteFailed")
      assert.notInclude(error.message, "\n")
    }).pipe(Effect.provide(files))
  )
})
