import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { classes, conditions } from "../../../src/pool/SqlState.ts"
import * as Pg from "../../support/Pg.ts"

/** PL/pgSQL knows errors by name, and neither success nor warnings. */
const isError = (code: string) => !/^0[012]/.test(code)

/** For each name the SQLSTATE that the server raises for it, or what it says instead. */
const raising = `create function raised(names text[]) returns table (name text, code text) language plpgsql as $$
  begin
    foreach name in array names loop
      begin
        raise exception using errcode = name;
      exception when others or query_canceled or assert_failure then
        code := sqlstate;
      end;
      return next;
    end loop;
  end $$`

describe("the names of SQLSTATEs", () => {
  layer(Pg.layer("SqlState"), { excludeTestServices: true })("on the server", (it) => {
    it.effect("each raise the SQLSTATE that they stand for", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows(raising)
        const errors = Object.entries(conditions).filter(([code]) => isError(code))
        const names = [...new Set(errors.map(([, name]) => name))]
        const rows = yield* observer.rows("select name, code from raised($1::text[])", [names])
        assert.lengthOf(rows, names.length)
        for (const { code, name } of rows) {
          // Some names stand for two: reading_sql_data_not_permitted is 2F004 and 38004.
          const codes = errors.filter((error) => error[1] === name).map(([code]) => code)
          assert.include(codes, code, String(name))
        }
      })
    )

    it.effect("are all that the server's own list has, and so are the titles of their classes", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const [row] = yield* observer.rows(
          "select pg_read_file(setting || '/errcodes.txt') as list from pg_config where name = 'SHAREDIR'"
        )
        const list = String(row?.["list"])
        const named = list.matchAll(/^(?<code>[0-9A-Z]{5}) +[EWS] +ERRCODE_\w+ +(?<name>\w+)$/gm)
        const titled = list.matchAll(/^Section: Class (?<code>..) - (?<title>.+)$/gm)
        assert.deepStrictEqual(
          conditions,
          Object.fromEntries(Array.from(named, ({ groups }) => [groups?.["code"], groups?.["name"]]))
        )
        assert.deepStrictEqual(
          classes,
          Object.fromEntries(Array.from(titled, ({ groups }) => [groups?.["code"], groups?.["title"]]))
        )
      })
    )
  })
})
