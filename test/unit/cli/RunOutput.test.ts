import { assert, describe, it } from "@effect/vitest"
import { PgTypes } from "@effect/sql-pg"
import { books, failed, finished, rejected, toPeople } from "./Told.ts"

const { OID } = PgTypes

describe("people are told", () => {
  it("of failures alone where they asked for quiet", () => {
    const notices = [{ severity: "NOTICE", message: "n" }]
    const noisy = [books, failed].map((one) => ({ ...one, report: { ...one.report, notices } }))
    assert.match(toPeople(noisy, true), /^! bad NOTICE: n\n! bad failed: .*\n(!.*\n)*$/)
  })

  it("nothing that acts on their terminal", () => {
    const evil = "\u001b[31m\n\u009b"
    const text = `-- name: a\nselect '${evil}'`
    const hostile = [
      finished(
        text,
        { columns: [{ name: evil, typeOid: OID.text }], rows: [{ [evil]: evil }], rowCount: 1 },
        { outcome: "Succeeded", name: evil, notices: [{ severity: "NOTICE", message: evil }] }
      ),
      finished(
        text,
        {},
        {
          outcome: "Failed",
          name: evil,
          error: rejected({
            message: evil,
            position: { offset: 9, line: 1, column: 9, text: "'" },
            detail: evil,
            hint: evil
          })
        }
      )
    ]
    assert.notMatch(toPeople(hostile), /[^\P{Cc}\n]/u)
  })
})
