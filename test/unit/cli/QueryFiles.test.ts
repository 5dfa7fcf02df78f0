import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, FileSystem, Layer, Path, PlatformError, Stdio, Stream } from "effect"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { readQueries } from "../../../src/cli/QueryFiles.ts"

/** A folder with these files (`->` makes a link) for as long as the effect runs, which is given paths below it. */
const withFiles = <A, E, R>(
  files: Readonly<Record<string, string | Uint8Array>>,
  use: (at: (path: string) => string) => Effect.Effect<A, E, R>
) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "querypool-"))
      for (const [name, content] of Object.entries(files)) {
        const path = join(folder, name)
        mkdirSync(dirname(path), { recursive: true })
        if (typeof content === "string" && content.startsWith("-> ")) symlinkSync(content.slice(3), path)
        else if (!name.endsWith("/")) writeFileSync(path, content)
        else mkdirSync(path, { recursive: true })
      }
      return folder
    }),
    (folder) => use((path) => join(folder, path)),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ).pipe(Effect.provide(Layer.mergeAll(NodeFileSystem.layer, Path.layer, Stdio.layerTest({}))))

const namesOf = (...paths: ReadonlyArray<string>) =>
  Effect.map(readQueries(paths), (queries) => queries.map((query) => query.name))

const refusal = (...paths: ReadonlyArray<string>) =>
  Effect.map(Effect.flip(readQueries(paths)), (error) => error.message)

const one = "select 1"

describe("a folder", () => {
  it.effect("gives its .sql files at any depth, sorted and named by their paths", () =>
    withFiles(
      { "b.sql": one, "a/z.sql": one, "a/b/c.sql": one, "a.sql": one, "note.txt": "no", "a/.keep": "", "empty/": "" },
      (at) => Effect.map(namesOf(at("")), (names) => assert.deepStrictEqual(names, ["a", "a/b/c", "a/z", "b"]))
    )
  )

  it.effect("is read once, also where links lead back to it", () =>
    withFiles({ "a.sql": one, self: "-> .", "deep/up": "-> ..", "deep/b.sql": one, "link.sql": "-> a.sql" }, (at) =>
      Effect.map(namesOf(at("")), (names) => assert.deepStrictEqual(names, ["a", "deep/b", "link"]))
    )
  )

  it.effect("may have a name that ends in .sql", () =>
    withFiles({ "x.sql/a.sql": one }, (at) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* namesOf(at("")), ["x.sql/a"])
        assert.deepStrictEqual(yield* namesOf(at("x.sql")), ["a"])
      })
    )
  )

  it.effect("is refused when there is nothing in it to run", () =>
    withFiles({ "note.txt": "no", "sub/": "" }, (at) =>
      Effect.map(refusal(at("")), (message) =>
        assert.strictEqual(message, `${at("")}: there is no .sql file in this folder`)
      )
    )
  )

  it.effect("is refused with the name of what in it cannot be read", () =>
    withFiles({ "a.sql": one, "gone.sql": "-> nowhere", other: "-> nowhere" }, (at) =>
      Effect.map(refusal(at("")), (message) =>
        assert.strictEqual(message, `${at("gone.sql")}: there is no such file or folder`)
      )
    )
  )
})

describe("several paths", () => {
  it.effect("are read in the order given", () =>
    withFiles({ "b.sql": one, "a.sql": "-- name: x\nselect 1;\n-- name: c\nselect 2", "d/e.sql": one }, (at) =>
      Effect.map(namesOf(at("b.sql"), at("a.sql"), at("d")), (names) =>
        assert.deepStrictEqual(names, ["b", "x", "c", "e"])
      )
    )
  )

  it.effect("may not give two queries one name", () =>
    withFiles({ "a.sql": one, "d/a.sql": `\n${one}`, "n.sql": "-- name: a\nselect 1" }, (at) =>
      Effect.gen(function* () {
        const twice = (other: string) => `a query named "a" already stands in ${at(other)}:1. Rename one of them`
        assert.strictEqual(yield* refusal(at("a.sql"), at("d")), `${at("d/a.sql")}:2: ${twice("a.sql")}`)
        assert.strictEqual(yield* refusal(at("n.sql"), at("a.sql")), `${at("a.sql")}:1: ${twice("n.sql")}`)
        assert.strictEqual(yield* refusal(at("a.sql"), at("a.sql")), `${at("a.sql")}:1: ${twice("a.sql")}`)
      })
    )
  )
})

describe("a file that is no text", () => {
  it.effect.each([
    ["bytes of another encoding", Buffer.from("select 1;\nselect 'caf\xe9'", "latin1"), "2:12", "byte 0xe9"],
    ["a character that is cut off", Buffer.from("select '\ufffd€").subarray(0, -1), "1:10", "byte 0xe2"],
    ["UTF-16", Buffer.from("\ufeffselect 1", "utf16le"), "1:1", "byte 0xff"],
    ["a program", Buffer.from("\x7fELF\x02\x01\x01\0", "latin1"), "1:8", "zero byte"]
  ] as const)("is refused at its first wrong byte: %s", ([, bytes, place, what]) =>
    withFiles({ "a.sql": bytes }, (at) =>
      Effect.map(refusal(at("a.sql")), (message) => {
        assert.isTrue(message.startsWith(`${at("a.sql")}:${place}: `), message)
        assert.include(message, what)
      })
    )
  )

  it.effect("is none for a byte order mark, which is no part of the first statement", () =>
    withFiles({ "a.sql": Buffer.from("\ufeffselect 1") }, (at) =>
      Effect.map(readQueries([at("a.sql")]), ([query]) =>
        assert.deepInclude(query?.statements[0], { text: one, column: 1 })
      )
    )
  )
})

describe("a path that cannot be read", () => {
  it.effect("is said with the reason", () =>
    withFiles({ "a.sql": one, "loop.sql": "-> loop.sql" }, (at) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* refusal(at("b.sql")), `${at("b.sql")}: there is no such file or folder`)
        assert.strictEqual(yield* refusal(at("a.sql/b")), `${at("a.sql/b")}: there is no such file or folder`)
        assert.strictEqual(yield* refusal(at("loop.sql")), `${at("loop.sql")}: its symbolic links lead in a circle`)
        assert.strictEqual(yield* refusal(at("\u001b[31m")), `${at("\\u001b[31m")}: there is no such file or folder`)
      })
    )
  )

  it.effect("is said when it is for other users alone", () => {
    const cause = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" })
    const denied = PlatformError.systemError({ _tag: "PermissionDenied", module: "FileSystem", method: "stat", cause })
    const others = Layer.mergeAll(
      FileSystem.layerNoop({ stat: () => Effect.fail(denied) }),
      Path.layer,
      Stdio.layerTest({})
    )
    return Effect.map(refusal("secret"), (message) => assert.strictEqual(message, "secret: it may not be read")).pipe(
      Effect.provide(others)
    )
  })

  it.effect("is not repeated when it is a URL with a password", () =>
    withFiles({}, () =>
      Effect.gen(function* () {
        assert.match(yield* refusal("postgres://me:s3cr3t@h/db"), /^A connection URL stands in the place of a path\./)
        assert.strictEqual(yield* refusal(), "No queries given. Name .sql files or folders, or - for standard input")
      })
    )
  )
})

const typed = (text: Uint8Array, isTerminal = false) =>
  Layer.mergeAll(
    FileSystem.layerNoop({}),
    Path.layer,
    Stdio.layerTest({
      stdin: Stream.make(text.subarray(0, 9), text.subarray(9)),
      stdinIsTerminal: Effect.succeed(isTerminal)
    })
  )

describe("standard input", () => {
  it.effect("is one query with the name stdin, however it is cut into pieces", () =>
    Effect.gen(function* () {
      const [query] = yield* readQueries(["-"])
      assert.deepInclude(query, { name: "stdin", file: "<stdin>" })
      assert.strictEqual(query?.statements[0]?.text, "select 'é'")
    }).pipe(Effect.provide(typed(Buffer.from("select 'é'"))))
  )

  it.effect("is refused as a file is", () =>
    Effect.map(refusal("-"), (message) => assert.match(message, /^<stdin>:1:8: unterminated string/)).pipe(
      Effect.provide(typed(Buffer.from("select 'x")))
    )
  )

  it.effect("is read once", () =>
    Effect.map(refusal("-", "-"), (message) => assert.match(message, /^- is given twice/)).pipe(
      Effect.provide(typed(Buffer.from(one)))
    )
  )

  it.effect("says how to end it where somebody types it", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const listening = { ...globalThis.console, error: (...words: ReadonlyArray<unknown>) => void said.push(...words) }
      yield* Effect.provideService(readQueries(["-"]), Console.Console, listening)
      assert.deepStrictEqual(said, ["Reading queries from the terminal. Ctrl-D ends them"])
    }).pipe(Effect.provide(typed(Buffer.from(one), true)))
  )
})
