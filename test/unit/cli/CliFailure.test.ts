import { assert, describe, it } from "@effect/vitest"
import { sayable } from "../../../src/cli/CliFailure.ts"

describe("a message that quotes what was typed", () => {
  it.each([
    "postgres://me:s3cr3t@host/db: there is no such file or folder",
    'Unknown subcommand "postgres://me:s3cr3t/with?all#of%40it@host/db"',
    "postgres://s3cr3t@host",
    "host=h password=s3cr3t: there is no such file or folder",
    "Expected sslmode to be one of disable, got require;password=s3cr3t",
    "postgres://h/db?user=me&PASSWORD=s3cr3t&x=y",
    "PGPASSWORD=s3cr3t: there is no such file or folder",
    "host=h password='it\\'s s3cr3t' user=me: there is no such file or folder",
    "host=h password = s3cr3t: there is no such file or folder"
  ])("does not say the password in %s", (message) => {
    assert.notInclude(sayable(message), "s3cr3t")
  })

  it("keeps what is no secret", () => {
    const message = "No database given.\n  --url postgres://user:password@host:5432/database"
    assert.strictEqual(sayable(message), message)
    const trace = "    at file:///app/node_modules/@effect/sql-pg/dist/index.js:1:1"
    assert.strictEqual(sayable(trace), trace)
    assert.strictEqual(sayable("Cannot connect to db:5432: refused"), "Cannot connect to db:5432: refused")
  })

  it("keeps its lines, and shows control characters as escapes", () => {
    assert.strictEqual(sayable("a\n\u001b[31mb"), "a\n\\u001b[31mb")
  })
})
