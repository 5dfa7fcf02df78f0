import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, FileSystem, Layer, Logger, Path, PlatformError, References, Scope } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { TestClock } from "effect/testing"
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as DurationHistory from "../../../src/pool/DurationHistory.ts"
import { timePasses } from "../query/timePasses.ts"

type History = DurationHistory.DurationHistory["Service"]

const key = "durations.json"

/** One run with queries that took so long. */
const teach = (history: History, millis: Readonly<Record<string, number>>) =>
  history.learn(new Map(Object.entries(millis)))

const recalled = (history: History, ...names: ReadonlyArray<string>) =>
  Effect.map(history.recall, (expected) => names.map(expected))

/** A store that can be looked into and made to fail, and counts what is written. */
const makeStore = () => {
  const values = new Map<string, string>()
  const state = {
    asked: 0,
    written: 0,
    failing: false,
    read: Effect.void as Effect.Effect<void>,
    write: Effect.void as Effect.Effect<void>
  }
  const answer = (method: "get" | "set") =>
    Effect.gen(function* () {
      yield* method === "get" ? state.read : state.write
      if (state.failing) return yield* new KeyValueStore.KeyValueStoreError({ method, message: "no store today" })
    })
  const store = KeyValueStore.makeStringOnly({
    get: (key) =>
      Effect.suspend(() => {
        state.asked++
        return Effect.map(answer("get"), () => values.get(key))
      }),
    set: (key, value) =>
      Effect.map(answer("set"), () => {
        state.written++
        values.set(key, value)
      }),
    remove: () => Effect.die("not needed"),
    clear: Effect.die("not needed"),
    size: Effect.die("not needed"),
    keys: Effect.die("not needed")
  })
  return { values, state, layer: Layer.succeed(KeyValueStore.KeyValueStore, store) }
}

/** A process with a history in the store: `use` it, and the layer closes. */
const inProcess = <A, E, R>(
  store: Layer.Layer<KeyValueStore.KeyValueStore>,
  use: (history: History) => Effect.Effect<A, E, R>
) =>
  Effect.flatMap(DurationHistory.DurationHistory, use).pipe(
    Effect.provide(Layer.provide(DurationHistory.layer, store), { local: true })
  )

/** Keeps what is logged, as `Warn: …`. */
const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${[message].flat()[0]}`))
  return {
    lines,
    provide: Effect.provide(Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "Debug")))
  }
}

describe("a history", () => {
  it.effect("knows at once what it was taught, and after the layer was closed", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* recalled(history, "a"), [undefined])
          yield* teach(history, { a: 10, b: 5 })
          yield* teach(history, { a: 30 })
          assert.deepStrictEqual(yield* recalled(history, "a", "b", "c"), [20, 5, undefined])
          assert.strictEqual(store.state.written, 0)
        })
      )
      assert.strictEqual(store.state.written, 1)
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* recalled(history, "a", "b", "c"), [20, 5, undefined])
        })
      )
      assert.strictEqual(store.state.written, 1)
    })
  )

  it.effect("is written at the end of a run, but not again within a minute", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          for (let run = 0; run < 300; run++) {
            yield* teach(history, { a: run })
            yield* timePasses(1_000)
          }
          assert.strictEqual(store.state.written, 4)
        })
      )
      assert.strictEqual(store.state.written, 5)
    })
  )

  it.effect("is not waited for by the run that it is written after", () =>
    Effect.gen(function* () {
      const store = makeStore()
      store.state.write = Effect.sleep("10 seconds")
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("1 minute")
          yield* teach(history, { a: 7 })
          assert.strictEqual(store.state.written, 0)
          yield* timePasses(10_000)
          assert.strictEqual(store.state.written, 1)
        })
      )
    })
  )

  it.effect("knows what it was taught also while that is being written", () =>
    Effect.gen(function* () {
      const store = makeStore()
      store.state.write = Effect.sleep("10 seconds")
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          const before = yield* history.recall
          yield* TestClock.adjust("1 minute")
          yield* teach(history, { a: 10 })
          yield* timePasses(5_000)
          yield* teach(history, { a: 30 })
          assert.deepStrictEqual(yield* recalled(history, "a"), [20])
          assert.strictEqual(store.state.written, 0)
          yield* timePasses(5_000)
          assert.strictEqual(store.state.written, 1)
          assert.deepStrictEqual(yield* recalled(history, "a"), [20])
          assert.strictEqual(before("a"), 20)
          store.state.write = Effect.void
        })
      )
    })
  )

  it.effect("is read once by all that ask for it together", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* inProcess(store.layer, (history) => teach(history, { a: 10 }))
      store.state.asked = 0
      store.state.read = Effect.sleep("10 millis")
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          const asking = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(recalled(history, "a")))
          yield* timePasses(10)
          assert.deepStrictEqual(yield* Effect.forEach(asking, Fiber.join), [[10], [10], [10]])
        })
      )
      assert.strictEqual(store.state.asked, 1)
    })
  )

  it.effect("does not keep a run from its start where the store never answers", () =>
    Effect.gen(function* () {
      const store = makeStore()
      store.state.read = Effect.never
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          const asking = yield* Effect.forkChild(recalled(history, "a"))
          yield* timePasses(1_999)
          assert.isUndefined(asking.pollUnsafe())
          yield* timePasses(1)
          assert.deepStrictEqual(yield* Fiber.join(asking), [undefined])
          assert.deepStrictEqual(yield* recalled(history, "a"), [undefined])
        })
      )
    })
  )

  it.effect("keeps what another process has learned meanwhile", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* inProcess(store.layer, (first) =>
        Effect.gen(function* () {
          yield* recalled(first, "a")
          yield* inProcess(store.layer, (second) => teach(second, { a: 10, b: 20 }))
          yield* teach(first, { a: 30, c: 40 })
        })
      )
      const known = yield* inProcess(store.layer, (third) => recalled(third, "a", "b", "c"))
      assert.deepStrictEqual(known, [20, 20, 40])
    })
  )

  it.effect("is begun anew, with one warning, where the document is damaged or of somebody else", () =>
    Effect.gen(function* () {
      for (const [text, problem] of [
        ["{", "is damaged, or not of querypool"],
        [`{"format":"querypool durations","version":1,"queries":[["a",[]]]}`, "is damaged"],
        [`{"format":"querypool durations","version":9,"queries":{}}`, "is of another version (9)"]
      ] as const) {
        const store = makeStore()
        store.values.set(key, text)
        const log = logged()
        yield* inProcess(store.layer, (history) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* recalled(history, "a"), [undefined])
            yield* teach(history, { a: 10 })
          })
        ).pipe(log.provide)
        assert.deepStrictEqual(log.lines, [
          `Warn: durations.json, which keeps how long queries take, ${problem}. It is ignored, and will be replaced`
        ])
        assert.deepStrictEqual(yield* inProcess(store.layer, (history) => recalled(history, "a")), [10])
      }
    })
  )

  it.effect("fails nobody where the store fails, and is written when the store is back", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* inProcess(store.layer, (history) => teach(history, { old: 1 }))
      const log = logged()
      store.state.failing = true
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* recalled(history, "old"), [undefined])
          yield* timePasses(60_000)
          yield* teach(history, { a: 10 })
          yield* timePasses(60_000)
          assert.deepStrictEqual(yield* recalled(history, "a"), [10])
          yield* teach(history, { b: 20 })
          store.state.failing = false
        })
      ).pipe(log.provide)
      assert.isNotEmpty(log.lines)
      for (const line of log.lines) assert.match(line, /^Debug: How long queries took cannot be (read|kept)$/)
      const known = yield* inProcess(store.layer, (history) => recalled(history, "old", "a", "b"))
      assert.deepStrictEqual(known, [1, 10, 20])
    })
  )

  it.effect("is not written over one that could not be read", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* inProcess(store.layer, (history) => teach(history, { old: 1 }))
      const before = store.values.get(key)
      yield* inProcess(store.layer, (history) =>
        Effect.gen(function* () {
          yield* teach(history, { a: 10 })
          store.state.read = Effect.sync(() => void (store.state.failing = true))
          store.state.write = Effect.sync(() => void (store.state.failing = false))
        })
      )
      assert.strictEqual(store.values.get(key), before)
    })
  )

  it.effect("does not keep its layer from closing where the store never answers", () =>
    Effect.gen(function* () {
      const store = makeStore()
      store.state.write = Effect.never
      const closing = yield* Effect.forkChild(inProcess(store.layer, (history) => teach(history, { a: 10 })))
      yield* timePasses(1_999)
      assert.isUndefined(closing.pollUnsafe())
      yield* timePasses(1)
      yield* Fiber.join(closing)
    })
  )
})

/** A folder that is removed with whatever is in it. */
const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "querypool-test-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const files = Layer.merge(NodeFileSystem.layer, Path.layer)

const open = (path: string) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(DurationHistory.layerFileSystem(path), scope)
    return { history: Context.get(context, DurationHistory.DurationHistory), close: Scope.close(scope, Exit.void) }
  })

describe("a history in a folder", () => {
  it.live("makes the folder, and leaves there one file", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "made", "here")
      const { close, history } = yield* open(path)
      yield* teach(history, { a: 10 })
      yield* close
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(path)), [key])
      assert.strictEqual(
        yield* Effect.promise(() => readFile(join(path, key), "utf8")),
        `{"format":"querypool durations","version":1,"queries":[["a",[10]]]}`
      )
    }).pipe(Effect.scoped, Effect.provide(files))
  )

  it.live("keeps what each of many processes has learned that end in one moment", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const names = Array.from({ length: 20 }, (_, index) => `query ${index}`)
      const processes = yield* Effect.forEach(names, (name) =>
        Effect.tap(open(path), ({ history }) => teach(history, { [name]: 10 }))
      )
      yield* Effect.forEach(processes, ({ close }) => close, { concurrency: "unbounded", discard: true })
      const { close, history } = yield* open(path)
      assert.deepStrictEqual(
        yield* recalled(history, ...names),
        names.map(() => 10)
      )
      yield* close
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(path)), [key])
    }).pipe(Effect.scoped, Effect.provide(files))
  )

  it.live("is written and tidied up after a process that ended in the middle of writing it", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const first = yield* open(path)
      yield* teach(first.history, { a: 10 })
      yield* first.close
      const left = join(path, `${key}.lock`)
      yield* Effect.promise(async () => {
        await mkdir(left)
        await writeFile(join(left, key), `{"format":"querypool durat`)
        await utimes(left, 0, 0)
      })
      const second = yield* open(path)
      assert.deepStrictEqual(yield* recalled(second.history, "a"), [10])
      yield* teach(second.history, { b: 20 })
      yield* second.close
      const third = yield* open(path)
      assert.deepStrictEqual(yield* recalled(third.history, "a", "b"), [10, 20])
      yield* third.close
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(path)), [key])
    }).pipe(Effect.scoped, Effect.provide(files))
  )

  it.live("is written again where the folder was removed meanwhile", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const { close, history } = yield* open(path)
      assert.deepStrictEqual(yield* recalled(history, "a"), [undefined])
      yield* Effect.promise(() => rm(path, { recursive: true }))
      yield* teach(history, { a: 10 })
      yield* close
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(path)), [key])
    }).pipe(Effect.scoped, Effect.provide(files))
  )

  it.live("is whole at every moment, while several write and others read", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const log = logged()
      const names = Array.from({ length: 500 }, (_, index) => `a query with a rather long name ${index}`)
      const writer = (number: number) =>
        Effect.gen(function* () {
          for (let time = 0; time < 10; time++) {
            const { close, history } = yield* open(path)
            yield* teach(history, Object.fromEntries(names.map((name) => [name, number + 1])))
            yield* close
          }
        })
      let reads = 0
      const reader = Effect.gen(function* () {
        const { close, history } = yield* open(path)
        const [first] = yield* recalled(history, names[0] ?? "")
        if (first !== undefined) reads++
        yield* close
      }).pipe(Effect.andThen(Effect.yieldNow), Effect.forever)
      yield* Effect.raceFirst(
        Effect.forEach([0, 1, 2], writer, { concurrency: "unbounded" }),
        Effect.all([reader, reader], { concurrency: "unbounded" })
      ).pipe(log.provide)
      assert.isAbove(reads, 0)
      assert.deepStrictEqual([...new Set(log.lines)], [])
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(path)), [key])
    }).pipe(Effect.scoped, Effect.provide(files))
  )

  it.live("is kept in memory, with debug lines, where the folder cannot be made", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "file")
      yield* Effect.promise(() => writeFile(path, ""))
      const log = logged()
      yield* Effect.gen(function* () {
        const { close, history } = yield* open(join(path, "below"))
        yield* teach(history, { a: 10 })
        assert.deepStrictEqual(yield* recalled(history, "a"), [10])
        yield* close
      }).pipe(log.provide)
      assert.deepStrictEqual(log.lines, [
        "Debug: How long queries took cannot be read",
        "Debug: How long queries took cannot be kept"
      ])
    }).pipe(Effect.scoped, Effect.provide(files))
  )

  it.effect("leaves nothing beside the file when it cannot be replaced", () =>
    Effect.gen(function* () {
      const written = new Set<string>()
      const denied = PlatformError.systemError({ _tag: "PermissionDenied", module: "FileSystem", method: "rename" })
      const missing = PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method: "readFile" })
      const fs = FileSystem.layerNoop({
        readFileString: () => Effect.fail(missing),
        makeDirectory: (path) => Effect.sync(() => void written.add(path)),
        writeFileString: (path) => Effect.sync(() => void written.add(path)),
        rename: () => Effect.fail(denied),
        remove: (removed) =>
          Effect.sync(() => {
            for (const path of written) if (path.startsWith(removed)) written.delete(path)
          })
      })
      const log = logged()
      yield* Effect.flatMap(DurationHistory.DurationHistory, (history) => teach(history, { a: 10 })).pipe(
        Effect.provide(Layer.provide(DurationHistory.layerFileSystem("/cache"), Layer.merge(fs, Path.layer))),
        log.provide
      )
      assert.deepStrictEqual([...written], ["/cache"])
      assert.deepStrictEqual(log.lines, ["Debug: How long queries took cannot be kept"])
    })
  )
})
