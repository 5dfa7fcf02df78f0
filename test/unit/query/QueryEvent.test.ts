/** What real runs tell of themselves, whatever happens to their queries and in whatever order their fibers run. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Stream } from "effect"
import * as Query from "../../../src/query/Query.ts"
import type { QueryError } from "../../../src/query/QueryError.ts"
import { ConnectFailed } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as Report from "../../../src/query/Report.ts"
import { interleaved } from "../../support/Chaos.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** A member of a run. */
const Member = Schema.Struct({
  shape: Schema.Literals(["query", "same query", "several", "side by side", "joined", "no query"]),
  end: Schema.Literals(["succeeds", "succeeds", "succeeds", "fails", "dies", "interrupts", "hangs", "is refused"]),
  turns: integer(0, 6)
})
const modes = Schema.Literals(["all", "outcome", "report", "stream", "stream in order"])

/** A run, and when it is interrupted: never with 0 turns, unless it hangs. */
const Script = Schema.Struct({
  mode: modes,
  from: Schema.Literals(["array", "generator"]),
  members: Schema.Array(Member).check(Schema.isMaxLength(8)),
  concurrency: integer(1, 4),
  interruptAfter: integer(0, 60),
  seed: integer(1, 1_000_000)
})
type Member = typeof Member.Type
type Script = typeof Script.Type

const arbitrary = { runs: 1_000, seed: 20_260_103, size: 40 }

const turns = (count: number) => Effect.replicateEffect(Effect.yieldNow, count, { discard: true })

const endOf = ({ end }: Member): Effect.Effect<void, string> => {
  if (end === "fails") return Effect.fail("no")
  if (end === "dies") return Effect.die("a fault")
  if (end === "interrupts") return Effect.interrupt
  return end === "hangs" ? Effect.never : Effect.void
}

const toEffects = (members: ReadonlyArray<Member>) => {
  const same = Query.make("same", () => turns(2))
  return members.map((member, index) => {
    const query = (part: string) =>
      Query.make(`${member.end} ${index}${part}`, () => Effect.andThen(turns(member.turns), endOf(member)))
    if (member.shape === "query") return query("")
    if (member.shape === "same query") return same
    if (member.shape === "joined") return Query.make(`outer ${index}`, () => query(""))
    if (member.shape === "no query") return Effect.andThen(turns(member.turns), endOf(member))
    return Effect.all([query("a"), query("b"), query("c")], {
      concurrency: member.shape === "several" ? 1 : "unbounded",
      discard: true
    })
  })
}

const start = ({ concurrency, from, members, mode }: Script, onEvent: (event: QueryEvent) => void) => {
  const options = { concurrency, onEvent }
  const list = toEffects(members)
  const effects = from === "array" ? list : list.values()
  const run: Effect.Effect<unknown, unknown, QueryPool.QueryPool> =
    mode === "all"
      ? QueryPool.all(effects, options)
      : mode === "outcome"
        ? QueryPool.all(effects, { ...options, mode })
        : mode === "report"
          ? QueryPool.report(effects, options)
          : Stream.runDrain(QueryPool.stream(effects, { ...options, preserveOrder: mode === "stream in order" }))
  return run
}

/** Runs a script to its end and gives what it told, what its pool saw and how it ended. */
const perform = (script: Script) =>
  Effect.gen(function* () {
    const events: Array<QueryEvent> = []
    const pool = yield* TestQueryPool.make(
      {},
      {
        connect: (name) =>
          name.startsWith("is refused") ? Effect.fail(new ConnectFailed({ message: "refused" })) : turns(1),
        release: () => turns(2)
      }
    )
    const fiber = yield* Effect.forkChild(start(script, (event) => events.push(event)).pipe(pool.provide))
    const hangs = script.members.some(({ end, shape }) => end === "hangs" && shape !== "same query")
    if (hangs || script.interruptAfter > 0) {
      yield* turns(script.interruptAfter)
      yield* Fiber.interrupt(fiber)
    }
    const exit = yield* Fiber.await(fiber)
    return { events, exit, ledger: pool.ledger }
  }).pipe(interleaved(script.seed))

/** Follows the events as a model of a run, in which whatever is not allowed fails. */
const follow = (events: ReadonlyArray<QueryEvent>, concurrency: number) => {
  const state = new Map<number, "Submitted" | "Started" | "Ended">()
  const busy = new Map<number, number>()
  let at = -Infinity
  for (const [index, event] of events.entries()) {
    assert.isAtLeast(event.at, at)
    at = event.at
    assert.strictEqual(event._tag === "RunStarted", index === 0)
    assert.strictEqual(event._tag === "RunEnded", index === events.length - 1)
    if (event._tag === "RunStarted") assert.strictEqual(event.concurrency, concurrency)
    if (event._tag === "Submitted") {
      assert.strictEqual(event.id, state.size)
      state.set(event.id, "Submitted")
    }
    if (event._tag === "Started") {
      assert.strictEqual(state.get(event.id), "Submitted")
      assert.isBelow(event.worker, concurrency)
      assert.isFalse([...busy.values()].includes(event.worker), `worker ${event.worker} has two queries at once`)
      state.set(event.id, "Started")
      busy.set(event.id, event.worker)
    }
    if (event._tag === "Ended") {
      assert.include(["Submitted", "Started"], state.get(event.id))
      if (event.outcome === "Succeeded") assert.strictEqual(state.get(event.id), "Started")
      if (event.outcome === "Skipped") assert.strictEqual(state.get(event.id), "Submitted")
      state.set(event.id, "Ended")
      busy.delete(event.id)
    }
  }
  for (const [id, last] of state) assert.strictEqual(last, "Ended", `query ${id} was lost`)
  return state.size
}

const outcomeOf: Readonly<Record<string, string>> = {
  succeeds: "Succeeded",
  same: "Succeeded",
  fails: "Failed",
  dies: "Failed",
  is: "Failed",
  interrupts: "Cancelled"
}

const noisy = (name: string) =>
  Query.make(name, (_, unit) => Effect.sync(() => unit.onNotice?.("NOTICE", `from ${name}`)))

describe("the events of a run", () => {
  it.effect.prop(
    "tell of each query one submission, at most one start and one end, on a worker of its own",
    [Script],
    ([script]) =>
      Effect.gen(function* () {
        const { events, exit, ledger } = yield* perform(script)
        assert.strictEqual(ledger.inUse, 0)
        assert.isAtMost(ledger.mostInUse, script.concurrency)
        if (events.length === 0) return assert.isTrue(Exit.hasInterrupts(exit))
        const queries = follow(events, script.concurrency)
        assert.lengthOf(Report.fromEvents(events).queries, queries)
        const names = (tag: QueryEvent["_tag"]) =>
          events.flatMap((e) => (e._tag === tag && "name" in e ? [e.name] : []))
        assert.deepStrictEqual(names("Submitted").toSorted(), names("Ended").toSorted())
        // Interrupted between its session and its body, a query has had a session and was not started.
        assert.isAtLeast(ledger.opened.length, names("Started").length)
      }),
    { arbitrary }
  )

  it.effect.prop(
    "tell of each query how it ended, where the run is left to itself and runs everything",
    [Script, Schema.Literals(["outcome", "report"])],
    ([script, mode]) =>
      Effect.gen(function* () {
        const members = script.members.filter(
          ({ end, shape }) => end !== "hangs" && shape !== "side by side" && (mode === "report" || end !== "dies")
        )
        const { events, exit } = yield* perform({ ...script, mode, members, interruptAfter: 0 })
        assert.isTrue(Exit.isSuccess(exit), String(exit))
        follow(events, script.concurrency)
        for (const event of events) {
          if (event._tag !== "Ended" || event.name.startsWith("outer")) continue
          assert.strictEqual(event.outcome, outcomeOf[event.name.split(" ")[0] ?? ""], event.name)
        }
      }),
    { arbitrary: { ...arbitrary, runs: 300 } }
  )

  it.effect("announce an array before its turn, in its order, and other iterables as they are pulled", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const queries = ["a", "b"].map((name) => Query.make(name, () => Effect.void))
      const told = Effect.fnUntraced(function* (effects: Iterable<Query.Query<void, QueryError>>) {
        const events: Array<string> = []
        const onEvent = (event: QueryEvent) => events.push("name" in event ? `${event._tag} ${event.name}` : event._tag)
        yield* QueryPool.all(effects, { concurrency: 1, onEvent }).pipe(provide)
        return events
      })
      const ofArray = yield* told(queries)
      assert.strictEqual(
        ofArray.join(", "),
        "RunStarted, Submitted a, Submitted b, Started a, Ended a, Started b, Ended b, RunEnded"
      )
      const ofSet = yield* told(new Set(queries))
      assert.strictEqual(
        ofSet.join(", "),
        "RunStarted, Submitted a, Started a, Ended a, Submitted b, Started b, Ended b, RunEnded"
      )
    })
  )

  it.effect("pass notices on with the query they belong to", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const events: Array<QueryEvent> = []
      yield* QueryPool.all([noisy("a"), noisy("b")], { onEvent: (event) => events.push(event) }).pipe(provide)
      assert.deepStrictEqual(
        events.flatMap((event) =>
          event._tag === "Noticed" ? [[event.id, event.name, event.severity, event.message]] : []
        ),
        [
          [0, "a", "NOTICE", "from a"],
          [1, "b", "NOTICE", "from b"]
        ]
      )
    })
  )
})
