import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { planOf, withEstimates } from "../../../src/cli/FilePlan.ts"
import type { FileQuery } from "../../../src/cli/QueryFiles.ts"
import { queriesOf } from "../../support/fileQueries.ts"

type Files = Readonly<Record<string, string>>

/** The queries of files, by name and text. */
const queriesOfAll = (files: Files): ReadonlyArray<FileQuery> =>
  Object.entries(files).flatMap(([name, text]) => queriesOf(text, name, `q/${name}.sql`))

const namesOf = (queries: ReadonlyArray<FileQuery>) => queries.map(({ name }) => name)

const messageOf = (files: Files, selections: ReadonlyArray<string> = []) =>
  Effect.map(Effect.flip(planOf(queriesOfAll(files), selections)), ({ message }) => message)

const daily = {
  "daily/load": "-- tag: team=data, nightly=yes\nselect 1",
  "daily/sub/users": "-- needs: daily/load\n-- tag: team=crm\nselect 1",
  "daily/orders": "-- needs: daily/load\nselect 1",
  report: "-- name: report\n-- needs: daily/sub/users, daily/orders\nselect 1;\n-- name: a.b(c)\nselect 1",
  vacuum: "select 1"
}

const selected = (...selections: ReadonlyArray<string>) =>
  Effect.map(planOf(queriesOfAll(daily), selections), ({ plan, queries }) => {
    assert.deepStrictEqual(
      plan.nodes.map(({ name }) => name),
      namesOf(queries)
    )
    return namesOf(queries)
  })

describe("a selection", () => {
  it.effect("is all where none is asked for", () =>
    Effect.map(selected(), (names) =>
      assert.deepStrictEqual(names, ["daily/load", "daily/sub/users", "daily/orders", "report", "a.b(c)", "vacuum"])
    )
  )

  it.effect.each<readonly [selections: ReadonlyArray<string>, names: ReadonlyArray<string>]>([
    [["vacuum"], ["vacuum"]],
    [["daily/*"], ["daily/load", "daily/orders"]],
    [["daily/**"], ["daily/load", "daily/sub/users", "daily/orders"]],
    [["**/load"], ["daily/load"]],
    [["**/vacuum"], ["vacuum"]],
    [["vacuu?"], ["vacuum"]],
    [["*"], ["daily/load", "daily/sub/users", "daily/orders", "report", "a.b(c)", "vacuum"]],
    [["a.b(c)"], ["a.b(c)"]],
    [["?.?(?)"], ["a.b(c)"]],
    [["tag:team"], ["daily/load", "daily/sub/users"]],
    [["tag:team=data"], ["daily/load"]],
    [["tag:nightly"], ["daily/load"]],
    [
      ["vacuum", "tag:team=crm"],
      ["daily/load", "daily/sub/users", "vacuum"]
    ]
  ])("by %j takes what is needed along: %j", ([selections, names]) =>
    Effect.map(selected(...selections), (found) => assert.deepStrictEqual(found, names))
  )

  it.effect("of nothing is refused, with what there is", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* messageOf(daily, ["vacuum", "dayly/*"]),
        '--select "dayly/*": no query has such a name. There are: daily/load, daily/sub/users, daily/orders, report, a.b(c), vacuum'
      )
      assert.strictEqual(
        yield* messageOf(daily, ["tag:team=crn"]),
        '--select "tag:team=crn": no query has such a tag. There are: tag:team=data, tag:nightly=yes, tag:team=crm'
      )
      for (const nothing of ["", "A.B(C)", "aXb(c)", "vac", "tag:toString"]) {
        assert.match(yield* messageOf(daily, [nothing]), /^--select "/)
      }
      assert.strictEqual(
        yield* messageOf({ a: "select 1" }, ["tag:\u001b"]),
        '--select "tag:\\u001b": no query has a tag. Tags stand in lines `-- tag: key=value`'
      )
      const many = Object.fromEntries(Array.from({ length: 30 }, (_, id) => [`q${id}`, "select 1"]))
      assert.match(yield* messageOf(many, ["x"]), /There are: q0, .*, q9 and 20 more$/)
    })
  )

  it.effect("does not hide what is wrong with the others", () =>
    Effect.map(messageOf({ a: "select 1", b: "-- needs: x\nselect 1" }, ["a"]), (message) =>
      assert.match(message, /^q\/b\.sql:1: /)
    )
  )
})

const needing = (need: string) => ({ "daily/load": "select 1", report: `-- Prose.\n-- needs: ${need}\nselect 1` })

const unknown = (need: string) => `q/report.sql:2: query "report" needs "${need}", which is no query of this run. `

describe("needs are refused", () => {
  it.effect("with the file, the line and the name that was probably meant", () =>
    Effect.gen(function* () {
      const meant = 'Did you mean "daily/load"?'
      assert.strictEqual(yield* messageOf(needing("daily/laod")), unknown("daily/laod") + meant)
      assert.strictEqual(yield* messageOf(needing("load")), unknown("load") + meant)
      assert.strictEqual(yield* messageOf(needing("nightly/load.sql")), unknown("nightly/load.sql") + meant)
      assert.strictEqual(yield* messageOf(needing("orders")), `${unknown("orders")}Give its file, too`)
    })
  )

  it.effect("with every line of a circle", () =>
    Effect.gen(function* () {
      const files = {
        a: "-- needs: c\n-- needs: b\nselect 1",
        b: "-- name: b\n-- needs: d\nselect 1;\n-- name: d\n-- needs: a\nselect 1",
        c: "select 1"
      }
      assert.strictEqual(
        yield* messageOf(files),
        "Queries need each other in a circle, so none of them can start. Remove one of these needs:\n" +
          "  q/a.sql:2: a needs b\n  q/b.sql:2: b needs d\n  q/b.sql:5: d needs a"
      )
      assert.match(yield* messageOf({ a: "-- needs: a\nselect 1" }), /:\n {2}q\/a\.sql:1: a needs a$/)
    })
  )
})

describe("estimates", () => {
  it.effect("become the durations of the plan, and change nothing where there are none", () =>
    Effect.gen(function* () {
      const made = yield* planOf(queriesOfAll(daily), ["daily/*"])
      assert.deepStrictEqual(yield* withEstimates(made, []), made)
      const { plan } = yield* withEstimates(made, [30, undefined])
      assert.deepStrictEqual(
        plan.nodes.map(({ expected, remaining }) => [expected, remaining]),
        [
          [30, 60],
          [undefined, 30]
        ]
      )
    })
  )
})
