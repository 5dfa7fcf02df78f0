import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { inFolder } from "../../support/inFolder.ts"
import * as Pg from "../../support/Pg.ts"
import { outcomesOf, run, runJson } from "./Command.ts"
import { counted } from "./OutFolder.ts"

/** Three queries that write to a table, of which the second fails until there is a row `mended`. */
const three = (table: string) => `
  -- name: first\ninsert into ${table} values ('first');
  -- name: second\ninsert into ${table} select 'second' where 1 / (select count(*) from ${table} where name = 'mended') = 1;
  -- name: third\n-- needs: second\ninsert into ${table} values ('third');
  -- name: reads\nselect clock_timestamp() as at;`

const writes = (table: string, name: string) => `-- name: ${name}\ninsert into ${table} values ('${name}');`

const unfinished = Effect.fnUntraced(function* (table: string, out: string) {
  const { observer } = yield* Pg.Pg
  yield* observer.rows(`create table ${table} (name text)`)
  assert.strictEqual((yield* run(three(table), ["--out", out])).code, 1)
  return { mend: observer.rows(`insert into ${table} values ('mended')`) }
})

layer(Pg.layer("OtherQueries"), { excludeTestServices: true })("an unfinished run", (it) => {
  it.effect("is gone on with after some of its queries were run anew", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { mend } = yield* unfinished("selected", out)
        const args = ["--out", out]
        const anew = yield* run(three("selected"), [...args, "--select", "reads"])
        assert.match(
          anew.stderr,
          /^The run in .* was not finished: starting anew with what is selected, and the rest stays for --resume\n$/
        )
        assert.strictEqual(anew.code, 0)
        const read = readFileSync(join(out, "reads.csv"), "utf8")
        yield* mend
        const resumed = yield* runJson(three("selected"), [...args, "--resume"])
        assert.strictEqual(resumed.stderr, "")
        assert.deepStrictEqual(outcomesOf(resumed.document), {
          first: "succeeded",
          second: "succeeded",
          third: "succeeded",
          reads: "succeeded"
        })
        assert.strictEqual(yield* counted("selected where name = 'first'"), 1)
        assert.strictEqual(readFileSync(join(out, "reads.csv"), "utf8"), read)
      })
    )
  )

  it.effect("is over when the last of its queries has succeeded, selected or not", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { mend } = yield* unfinished("last", out)
        yield* mend
        const args = ["--out", out, "--resume"]
        assert.strictEqual((yield* run(three("last"), [...args, "--select", "second"])).code, 0)
        assert.strictEqual((yield* run(three("last"), [...args, "--select", "third"])).code, 0)
        assert.strictEqual(yield* counted("last where name = 'second'"), 1)
        const next = yield* run(three("last"), args)
        assert.match(next.stderr, /^There is no unfinished run of these queries in .*: starting anew\n$/)
        assert.strictEqual(yield* counted("last where name = 'first'"), 2)
      })
    )
  )

  it.effect("is as it was after other queries were run in its folder, twice", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { mend } = yield* unfinished("beside", out)
        for (const name of ["other", "another"]) {
          const other = yield* run(writes("beside", name), ["--out", out])
          assert.strictEqual(other.stderr, "")
          assert.strictEqual(other.code, 0)
        }
        const nightly = yield* run(writes("beside", "other"), ["--out", out, "--resume"])
        assert.match(nightly.stderr, /^There is no unfinished run of these queries/)
        assert.strictEqual(yield* counted("beside where name = 'other'"), 2)
        yield* mend
        const resumed = yield* run(`${three("beside")}\n${writes("beside", "another")}`, ["--out", out, "--resume"])
        assert.strictEqual(resumed.stderr, "")
        assert.strictEqual(resumed.code, 0)
        assert.strictEqual(yield* counted("beside where name in ('first', 'another')"), 2)
        const over = yield* run(three("beside"), ["--out", out, "--resume"])
        assert.match(over.stderr, /^There is no unfinished run of these queries/)
      })
    )
  )

  it.effect("is over without what is not in the files any more, of which one line tells", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        yield* unfinished("gone", out)
        const first = writes("gone", "first")
        const resumed = yield* run(first, ["--out", out, "--resume"])
        assert.match(
          resumed.stderr,
          /^Not in these files any more, and left as unfinished in .*: second, third, reads\n$/
        )
        assert.strictEqual(resumed.code, 0)
        assert.strictEqual(yield* counted("gone"), 1)
        const next = yield* run(first, ["--out", out, "--resume"])
        assert.match(next.stderr, /^There is no unfinished run of these queries/)
        assert.strictEqual(yield* counted("gone"), 2)
      })
    )
  )
})
