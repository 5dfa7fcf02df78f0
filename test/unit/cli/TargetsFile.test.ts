import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sayable } from "../../../src/cli/CliFailure.ts"
import { parseTargets, readTargets } from "../../../src/cli/TargetsFile.ts"

const parsed = (text: string) =>
  Result.getOrThrow(parseTargets("t.txt", text)).map(({ line, name, url }) => [name, Redacted.value(url), line])

const fault = (text: string): string =>
  Result.match(parseTargets("t.txt", text), { onSuccess: () => "none", onFailure: (message) => message })

/** What the command reads from a file of these bytes, and says if it cannot. */
const read = (content: string | Uint8Array, env: Readonly<Record<string, string>> = {}) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "querypool-"))
      const path = join(folder, "t.txt")
      writeFileSync(path, content)
      return { folder, path }
    }),
    ({ folder, path }) =>
      readTargets(path, env).pipe(Effect.mapError(({ message }) => sayable(message).replace(folder, "folder"))),
    ({ folder }) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ).pipe(Effect.provide(NodeFileSystem.layer))

const refusal = (content: string | Uint8Array) => Effect.flip(read(content))

describe("a file of targets", () => {
  it("has a target in each line, but for those that are blank or a comment", () => {
    assert.deepStrictEqual(
      parsed("# Shops\r\n\r\n berlin = postgres://h/a?x=1=2 \r\n\t#paris=postgres://h/b\r\nnew york=postgres://h/c"),
      [
        ["berlin", "postgres://h/a?x=1=2", 3],
        ["new york", "postgres://h/c", 5]
      ]
    )
  })

  it("is refused with the line that is wrong, of which nothing is quoted but a name", () => {
    const expected = "t.txt:2: expected `name = postgres://user:password@host:port/database`, "
    const cases: ReadonlyArray<readonly [line: string, message: string]> = [
      ["s3cr3t", `${expected}and there is no =`],
      ["postgres://me:s3cr3t@h/db", `${expected}and there is no =`],
      ["postgres://me:s3cr3t@h/db?sslmode=require", `${expected}and what stands before the = is no name`],
      ["me:s3cr3t = x", `${expected}and what stands before the = is no name`],
      ["= postgres://me:s3cr3t@h", `${expected}and what stands before the = is no name`],
      ["a\u001b[31m = postgres://me:s3cr3t@h", `${expected}and what stands before the = is no name`],
      ["a =", 't.txt:2: target "a" has no URL'],
      ["a = postgres://h s3cr3t", 't.txt:2: the URL of target "a" has blanks. A comment needs a line of its own'],
      ["host=h password=s3cr3t", 't.txt:2: the URL of target "host" has blanks. A comment needs a line of its own'],
      ["ok = x", 't.txt:2: a target named "ok" stands in line 1 already. Rename one of them']
    ]
    for (const [line, message] of cases) assert.strictEqual(fault(`ok = postgres://h\n${line}`), message)
  })

  it("is refused where it has no target", () => {
    for (const text of ["", "# a = postgres://h\n\n"]) {
      assert.strictEqual(
        fault(text),
        "t.txt: there is no target in it. Write lines `name = postgres://user:password@host:port/database`"
      )
    }
  })

  it.effect("is read with what the PG* variables say of each database", () =>
    Effect.gen(function* () {
      const env = { PGUSER: "u", PGPASSWORD: "from-the-environment", DATABASE_URL: "postgres://elsewhere.test/db" }
      const targets = yield* read("\ufeffa = postgres://h.test/one\nb = postgres://me:mine@g.test:7000/two", env)
      assert.deepStrictEqual(
        targets.map(({ config, label, name }) => {
          const password = Redacted.isRedacted(config.password) ? Redacted.value(config.password) : undefined
          return [name, label, config.database, config.username, password]
        }),
        [
          ["a", "h.test:5432", "one", "u", "from-the-environment"],
          ["b", "g.test:7000", "two", "me", "mine"]
        ]
      )
    })
  )

  it.effect("is refused with file and line where a URL cannot be used, and without its password", () =>
    Effect.gen(function* () {
      const start = /^folder\/t\.txt:3: /
      for (const url of [
        "mysql://me:s3cr3t@h/db",
        "postgres://me:s3cr3t@h:99999/db",
        "postgres://me:s3c/r3t@h/db",
        "postgres://h/db?sslmode=require;password=s3cr3t",
        "s3cr3t"
      ]) {
        const message = yield* refusal(`ok = postgres://h\n\na = ${url}`)
        assert.match(message, start, url)
        assert.notMatch(message, /s3cr3t|s3c|r3t/)
      }
      assert.strictEqual(
        yield* refusal(new Uint8Array([0x61, 0x3d, 0xff])),
        "folder/t.txt: this is not UTF-8 text. Save it as UTF-8"
      )
    })
  )
})
