import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Plan from "../../../src/query/Plan.ts"

// Integers, so that sums are exact and the properties can compare for equality.
const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const arbitrary = { runs: 300, seed: 20_260_101 }

const planOf = (queries: ReadonlyArray<Plan.PlanQuery>): Plan.Plan => Result.getOrThrow(Plan.make(queries))

const errorOf = (queries: ReadonlyArray<Plan.PlanQuery>): Plan.PlanError => {
  const made = Plan.make(queries)
  if (Result.isSuccess(made)) throw new Error("the plan was made")
  return made.failure
}

const namesOf = (nodes: ReadonlyArray<Plan.PlanNode>): ReadonlyArray<string> => nodes.map(({ name }) => name)

/** load takes 3, then users 2 and orders 5, then report 1, which needs both; vacuum takes 4 and needs nothing. */
const daily = planOf([
  { name: "report", needs: ["users", "orders"], expected: 1 },
  { name: "users", needs: ["load"], expected: 2 },
  { name: "orders", needs: ["load", "load"], expected: 5 },
  { name: "load", needs: [], expected: 3 },
  { name: "vacuum", needs: [], expected: 4 }
])

describe("a plan", () => {
  it("knows of each query what it needs, its wave and its remaining path", () => {
    assert.deepStrictEqual(
      daily.nodes.map(({ name, needs, remaining, wave }) => [name, needs, wave, remaining]),
      [
        ["report", ["users", "orders"], 2, 1],
        ["users", ["load"], 1, 3],
        ["orders", ["load"], 1, 6],
        ["load", [], 0, 9],
        ["vacuum", [], 0, 4]
      ]
    )
    assert.deepStrictEqual(Plan.waves(daily).map(namesOf), [["load", "vacuum"], ["users", "orders"], ["report"]])
  })

  it("has a critical path, also by other durations than those expected", () => {
    assert.deepStrictEqual(Plan.criticalPath(daily), { names: ["load", "orders", "report"], duration: 9 })
    assert.deepStrictEqual(Plan.criticalPath(daily, [1, 6, 5, 3, 4]), {
      names: ["load", "users", "report"],
      duration: 10
    })
    assert.deepStrictEqual(Plan.criticalPath(daily, [0, 0, 0, 0, 7]), { names: ["vacuum"], duration: 7 })
  })

  it("starts the first of those given or the one with the longest remaining path, as soon as it is ready", () => {
    assert.deepStrictEqual(Plan.schedule(daily, { workers: 1 }), {
      starts: [
        { name: "load", at: 0 },
        { name: "users", at: 3 },
        { name: "orders", at: 5 },
        { name: "report", at: 10 },
        { name: "vacuum", at: 11 }
      ],
      makespan: 15
    })
    assert.deepStrictEqual(Plan.schedule(daily, { workers: 2, order: "longest-first" }), {
      starts: [
        { name: "load", at: 0 },
        { name: "vacuum", at: 0 },
        { name: "orders", at: 3 },
        { name: "users", at: 4 },
        { name: "report", at: 8 }
      ],
      makespan: 9
    })
  })

  it("takes the mean of the expected durations for those that are not known, and 1 where none is", () => {
    const some = planOf([
      { name: "a", needs: [], expected: 2 },
      { name: "b", needs: ["a"] },
      { name: "c", needs: [], expected: 6 },
      { name: "d", needs: [], expected: Number.NaN }
    ])
    assert.deepStrictEqual(
      some.nodes.map(({ duration, remaining }) => [duration, remaining]),
      [
        [2, 6],
        [4, 4],
        [6, 6],
        [4, 4]
      ]
    )
    const none = planOf([
      { name: "a", needs: [] },
      { name: "b", needs: ["a"] }
    ])
    assert.deepStrictEqual(Plan.criticalPath(none), { names: ["a", "b"], duration: 2 })
  })

  it("of nothing takes no time", () => {
    const nothing = planOf([])
    assert.deepStrictEqual(Plan.waves(nothing), [])
    assert.deepStrictEqual(Plan.criticalPath(nothing), { names: [], duration: 0 })
    assert.deepStrictEqual(Plan.schedule(nothing, { workers: 3 }), { starts: [], makespan: 0 })
    assert.strictEqual(Plan.toMermaid(nothing), "flowchart LR")
  })

  it("gives some of its queries with everything that they need, in the order given", () => {
    assert.deepStrictEqual(namesOf(Plan.withNeeds(daily, ({ name }) => name === "orders")), ["orders", "load"])
    assert.deepStrictEqual(namesOf(Plan.withNeeds(daily, ({ name }) => name === "report")), [
      "report",
      "users",
      "orders",
      "load"
    ])
    assert.deepStrictEqual(namesOf(Plan.withNeeds(daily, () => false)), [])
  })

  it("may be as deep as it is long", () => {
    const chain = planOf(
      Array.from({ length: 20_000 }, (_, index) => ({
        name: `${index}`,
        needs: index === 0 ? [] : [`${index - 1}`],
        expected: 1
      }))
    )
    assert.lengthOf(Plan.waves(chain), 20_000)
    assert.strictEqual(Plan.criticalPath(chain).duration, 20_000)
    assert.strictEqual(Plan.schedule(chain, { workers: 8 }).makespan, 20_000)
    assert.lengthOf(
      Plan.withNeeds(chain, ({ name }) => name === "19999"),
      20_000
    )
  })
})

const needing = (need: string): ReadonlyArray<Plan.PlanQuery> => [
  { name: "report", needs: [need] },
  { name: "load/users", needs: [] }
]

describe("a plan is refused", () => {
  it("with the names of the circle where queries need each other", () => {
    const error = errorOf([
      { name: "x", needs: ["a"] },
      { name: "a", needs: ["b"] },
      { name: "b", needs: ["c", "y"] },
      { name: "c", needs: ["a"] },
      { name: "y", needs: [] }
    ])
    assert.strictEqual(error._tag, "Cycle")
    assert.strictEqual(error.message, "Queries need each other in a circle: a -> b -> c -> a")
    assert.deepInclude(errorOf([{ name: "a", needs: ["a"] }]), { _tag: "Cycle", names: ["a", "a"] })
  })

  it("with the name that was probably meant where one needs what is not there", () => {
    assert.strictEqual(
      errorOf(needing("load/suers")).message,
      'Query "report" needs "load/suers", which is not there. Did you mean "load/users"?'
    )
    assert.strictEqual(errorOf(needing("vacuum")).message, 'Query "report" needs "vacuum", which is not there')
    assert.strictEqual(errorOf(needing("x".repeat(1_000_000)))._tag, "UnknownNeed")
  })

  it("where two queries have one name", () => {
    const twice = { name: "a", needs: [] }
    assert.strictEqual(errorOf([twice, twice]).message, 'Two queries are named "a"')
  })
})

describe("the text for Mermaid", () => {
  it("has a box for each query and an arrow to each that needs it", () => {
    assert.strictEqual(
      Plan.toMermaid(
        planOf([
          { name: "daily/load-users", needs: [] },
          { name: "report", needs: ["daily/load-users"] }
        ])
      ),
      ["flowchart LR", '  q0["daily/load-users"]', '  q1["report"]', "  q0 --> q1"].join("\n")
    )
  })

  it("has nothing of a name that Mermaid, Markdown, HTML or a terminal would act on", () => {
    const hostile = [
      '"]; click q0 call alert()',
      "end\n  q9 --> q0",
      "`**b**`",
      "<img src=x>",
      "%%{init}%%",
      "a\u001b[2Jé 1"
    ]
    const text = Plan.toMermaid(planOf(hostile.map((name) => ({ name, needs: [] }))))
    const lines = text.split("\n")
    assert.lengthOf(lines, hostile.length + 1)
    for (const line of lines.slice(1)) assert.match(line, /^ {2}q\d\["[\p{L}\p{N} ./#;-]*"\]$/u)
    assert.strictEqual(lines[4], '  q3["#60;img src#61;x#62;"]')
    assert.strictEqual(lines[6], '  q5["a#27;#91;2Jé 1"]')
  })
})

/** Any queries, each of which needs any others, or itself. */
const anyQueries = Schema.Array(
  Schema.Struct({ needs: Schema.Array(integer(0, 11)).check(Schema.isMaxLength(3)), expected: integer(0, 100) })
).check(Schema.isMaxLength(12))

const named = (queries: typeof anyQueries.Type, mayNeed: (index: number, need: number) => boolean) =>
  queries.map(({ expected, needs }, index) => ({
    name: `${index}`,
    needs: needs.filter((need) => need < queries.length && mayNeed(index, need)).map(String),
    expected
  }))

const shuffled = (index: number): number => (index * 7) % 13

/** Without cycles: each needs only queries that a shuffle has put before it. */
const anyPlan = (queries: typeof anyQueries.Type): Plan.Plan =>
  planOf(named(queries, (index, need) => shuffled(need) < shuffled(index)))

/** For each query, all that it needs by however many steps; worked out without a graph. */
const allNeedsOf = (queries: ReadonlyArray<Plan.PlanQuery>): ReadonlyMap<string, ReadonlySet<string>> => {
  const found = new Map(queries.map(({ name, needs }) => [name, new Set(needs)]))
  for (const _ of queries) {
    for (const needs of found.values()) for (const need of needs) found.get(need)?.forEach((other) => needs.add(other))
  }
  return found
}

describe("any plan", () => {
  it.prop(
    "is refused if and only if some query needs itself by however many steps, and the circle is one",
    [anyQueries],
    ([any]) => {
      const queries = named(any, () => true)
      const isCircular = [...allNeedsOf(queries)].some(([name, needs]) => needs.has(name))
      const made = Plan.make(queries)
      assert.strictEqual(Result.isFailure(made), isCircular)
      if (Result.isSuccess(made) || made.failure._tag !== "Cycle") return
      const { names } = made.failure
      assert.isAtLeast(names.length, 2)
      assert.strictEqual(names[0], names.at(-1))
      for (const [at, name] of names.slice(0, -1).entries()) {
        assert.include(queries[Number(name)]?.needs ?? [], names[at + 1])
      }
    },
    { arbitrary }
  )

  it.prop(
    "has each query in one wave, the first after those of all that it needs",
    [anyQueries],
    ([queries]) => {
      const plan = anyPlan(queries)
      const waves = Plan.waves(plan)
      assert.deepStrictEqual(
        waves
          .flat()
          .map(({ index }) => index)
          .toSorted((a, b) => a - b),
        plan.nodes.map(({ index }) => index)
      )
      for (const { needs, wave } of plan.nodes) {
        const last = Math.max(-1, ...needs.map((need) => plan.nodes[Number(need)]?.wave ?? Infinity))
        assert.strictEqual(wave, last + 1)
      }
    },
    { arbitrary }
  )

  it.prop(
    "starts each query once, when all that it needs have ended, and never more than there are workers",
    [anyQueries, integer(1, 5), Schema.Literals(["given", "longest-first"])],
    ([queries, workers, order]) => {
      const plan = anyPlan(queries)
      const { makespan, starts } = Plan.schedule(plan, { workers, order })
      assert.lengthOf(new Set(starts.map(({ name }) => name)), plan.nodes.length)
      const nodes = new Map(plan.nodes.map((node) => [node.name, node]))
      const startOf = new Map(starts.map(({ at, name }) => [name, at]))
      const endOf = (name: string): number => (startOf.get(name) ?? Infinity) + (nodes.get(name)?.duration ?? 0)
      for (const { at, name } of starts) {
        for (const need of nodes.get(name)?.needs ?? []) assert.isAtMost(endOf(need), at)
        const running = starts.filter((other) => other.at <= at && endOf(other.name) > at)
        assert.isAtMost(running.length, workers)
      }
      assert.strictEqual(makespan, Math.max(0, ...starts.map(({ name }) => endOf(name))))
    },
    { arbitrary }
  )

  it.prop(
    "takes at least its lower bound, and at most 2 - 1 / workers times that",
    [anyQueries, integer(1, 5), Schema.Literals(["given", "longest-first"])],
    ([queries, workers, order]) => {
      const plan = anyPlan(queries)
      const path = Plan.criticalPath(plan)
      const durations = plan.nodes.map(({ duration }) => duration)
      const bound = Plan.lowerBound({ durations, workers, criticalPath: path.duration }).duration
      const { makespan } = Plan.schedule(plan, { workers, order })
      assert.isAtLeast(makespan, bound)
      assert.isAtMost(makespan, bound * (2 - 1 / workers) + 1e-9)
      // With a worker for each there is nothing but the critical path.
      assert.strictEqual(Plan.schedule(plan, { workers: queries.length + 1, order }).makespan, path.duration)
    },
    { arbitrary }
  )

  it.prop(
    "has a critical path on which each query needs the one before, and none is longer",
    [anyQueries],
    ([queries]) => {
      const plan = anyPlan(queries)
      const { duration, names } = Plan.criticalPath(plan)
      const along = names.map((name) => plan.nodes[Number(name)]?.duration ?? NaN)
      assert.strictEqual(
        duration,
        along.reduce((total, one) => total + one, 0)
      )
      for (const [at, name] of names.entries()) {
        if (at > 0) assert.include(plan.nodes[Number(name)]?.needs ?? [], names[at - 1])
      }
      assert.strictEqual(duration, Math.max(0, ...plan.nodes.map(({ remaining }) => remaining)))
      for (const { duration, name, remaining } of plan.nodes) {
        const dependents = plan.nodes.filter(({ needs }) => needs.includes(name))
        assert.strictEqual(remaining, duration + Math.max(0, ...dependents.map((node) => node.remaining)))
      }
    },
    { arbitrary }
  )

  it.prop(
    "gives a query with all that it needs and nothing else",
    [anyQueries, integer(0, 11)],
    ([queries, meant]) => {
      const plan = anyPlan(queries)
      const needs = allNeedsOf(plan.nodes).get(`${meant}`) ?? new Set()
      assert.deepStrictEqual(
        namesOf(Plan.withNeeds(plan, ({ index }) => index === meant)),
        namesOf(plan.nodes.filter(({ index, name }) => index === meant || needs.has(name)))
      )
    },
    { arbitrary }
  )
})
