import type { Effect, Exit, Stream } from "effect"
import { Schema } from "effect"
import { Task, TaskGroup } from "querypool/task"
import type { TaskError, TaskHandle, TaskStore } from "querypool/task"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", {}) {}
class Gone extends Schema.TaggedError<Gone>()("Gone", {}) {}

type Store = TaskStore.TaskStore
type Fault = TaskError.TaskError

const count = Task.make("count", { payload: Schema.String, success: Schema.Finite, error: Busy })
const quiet = Task.make("quiet", { payload: Schema.Finite, session: "none" })
const keyed = Task.make("keyed", {
  payload: Schema.Struct({ id: Schema.Finite }),
  success: Schema.String,
  error: Schema.Union([Busy, Gone]),
  uniqueKey: ({ id }) => `${id}`
})

type CountExit = Exit.Exit<number, Busy | Fault>
type QuietExit = Exit.Exit<void, Fault>
type KeyedExit = Exit.Exit<string, Busy | Gone | Fault>

// ---- a member is a task with its payload ------------------------------------------------------------------------------

const aCount = TaskGroup.member(count, "a")
const aQuiet = TaskGroup.member(quiet, 1, { delay: "1 minute", priority: 3 })
const aKeyed = TaskGroup.member(keyed, { id: 1 })
expect<Equals<typeof aCount, TaskGroup.Member<string, number, Busy>>>()
// @ts-expect-error -- the payload is another one
accept(TaskGroup.member(count, 1))
// @ts-expect-error -- and so it is here
accept(TaskGroup.member(keyed, { id: "1" }))
// @ts-expect-error -- there is no such option
accept(TaskGroup.member(count, "a", { timeout: 1 }))

// ---- what `all` gives has the shape that it is given ------------------------------------------------------------------

const tuple = TaskGroup.all([aCount, aQuiet, aKeyed])
expect<Equals<typeof tuple, Effect.Effect<readonly [CountExit, QuietExit, KeyedExit], Fault, Store>>>()

const record = TaskGroup.all({ one: aCount, two: aKeyed })
expect<Equals<typeof record, Effect.Effect<{ readonly one: CountExit; readonly two: KeyedExit }, Fault, Store>>>()

const array = TaskGroup.all([1, 2].map((n) => TaskGroup.member(quiet, n)))
expect<Equals<typeof array, Effect.Effect<ReadonlyArray<QuietExit>, Fault, Store>>>()

const set = TaskGroup.all(new Set([aCount]))
expect<Equals<typeof set, Effect.Effect<ReadonlyArray<CountExit>, Fault, Store>>>()

const none = TaskGroup.all([])
expect<Equals<typeof none, Effect.Effect<readonly [], Fault, Store>>>()

// @ts-expect-error -- a task is no member
accept(TaskGroup.all([count]))
// @ts-expect-error -- one member is no group
accept(TaskGroup.all(aCount))

// ---- the callback of a chord has the members' Exits as its payload ----------------------------------------------------

const ofTuple = Task.make("of tuple", {
  payload: TaskGroup.exits([count, keyed]),
  success: Schema.Boolean,
  error: Gone
})
const chord = TaskGroup.chord([aCount, aKeyed], ofTuple)
expect<
  Equals<
    typeof chord,
    Effect.Effect<TaskGroup.Chord<readonly [typeof aCount, typeof aKeyed], boolean, Gone>, Fault, Store>
  >
>()
type OfChord = Effect.Success<typeof chord>
expect<Equals<OfChord["callback"], TaskHandle.Enqueued<boolean, Gone>>>()
expect<
  Equals<OfChord["members"], readonly [TaskHandle.Enqueued<number, Busy>, TaskHandle.Enqueued<string, Busy | Gone>]>
>()

const ofRecord = Task.make("of record", { payload: TaskGroup.exits({ one: count, two: keyed }) })
const named = TaskGroup.chord({ two: aKeyed, one: aCount }, ofRecord)
expect<
  Equals<
    Effect.Success<typeof named>["members"],
    {
      readonly two: TaskHandle.Enqueued<string, Busy | Gone>
      readonly one: TaskHandle.Enqueued<number, Busy>
    }
  >
>()

const ofMany = Task.make("of many", { payload: Schema.Array(TaskGroup.exit(count)), session: "none" })
accept(TaskGroup.chord([aCount, aCount].values(), ofMany))
accept(
  TaskGroup.chord(
    ["a", "b"].map((name) => TaskGroup.member(count, name)),
    ofMany
  )
)

const ofEither = Task.make("of either", {
  payload: Schema.Array(Schema.Union([TaskGroup.exit(count), TaskGroup.exit(keyed)]))
})
declare const mixed: ReadonlyArray<typeof aCount | typeof aKeyed>
accept(TaskGroup.chord(mixed, ofEither))

const ofNone = Task.make("of none", { payload: TaskGroup.exits([]) })
accept(TaskGroup.chord([], ofNone))

// ---- one that ignores how a member may end is refused -----------------------------------------------------------------

const busyOnly = Task.make("keyed", { payload: Schema.Finite, success: Schema.String, error: Busy })
const withoutGone = Task.make("x", { payload: TaskGroup.exits([count, busyOnly]) })
const withoutErrors = Task.make("x", { payload: Schema.Tuple([Schema.Finite]) })
const withoutFaults = Task.make("x", { payload: Schema.Tuple([Schema.Exit(Schema.Finite, Busy, Schema.Defect())]) })
const withoutValue = Task.make("x", { payload: TaskGroup.exits([quiet]) })

// Errors are effects too, which the checker of effects takes the refused ones for.
// @effect-diagnostics missingEffectError:off

// @ts-expect-error -- it knows nothing of Gone
accept(TaskGroup.chord([aCount, aKeyed], withoutGone))
// @ts-expect-error -- it knows of no errors at all
accept(TaskGroup.chord([aCount], withoutErrors))
// @ts-expect-error -- it knows of no errors but the member's own
accept(TaskGroup.chord([aCount], withoutFaults))
// @ts-expect-error -- it knows nothing of the value
accept(TaskGroup.chord([aCount], withoutValue))
// @ts-expect-error -- another order
accept(TaskGroup.chord([aKeyed, aCount], ofTuple))
// @ts-expect-error -- one too many
accept(TaskGroup.chord([aCount, aKeyed, aKeyed], ofTuple))
// @ts-expect-error -- one too few
accept(TaskGroup.chord([aCount], ofTuple))
// @ts-expect-error -- another name
accept(TaskGroup.chord({ one: aCount, three: aKeyed }, ofRecord))
// @ts-expect-error -- a tuple is no record
accept(TaskGroup.chord([aCount, aKeyed], ofRecord))
// @ts-expect-error -- of how many members there are nothing is known
accept(TaskGroup.chord(mixed, ofTuple))
// @ts-expect-error -- members of a second task, of which it knows nothing
accept(TaskGroup.chord(mixed, ofMany))

// ---- a handler that takes a member's value has to look at its Exit ----------------------------------------------------

// @ts-expect-error -- it may have failed
accept(Task.toLayer(ofMany, (counts) => Task.discard(`${counts[0]?.value}`)))

// ---- a stream gives each member with its own Exit ---------------------------------------------------------------------

const streamed = TaskGroup.stream([aCount, aKeyed], { concurrency: 10 })
expect<
  Equals<
    typeof streamed,
    Stream.Stream<
      | { readonly member: typeof aCount; readonly exit: CountExit }
      | { readonly member: typeof aKeyed; readonly exit: KeyedExit },
      Fault,
      Store
    >
  >
>()

declare const source: Stream.Stream<typeof aQuiet, "lost", "service">
const fromSource = TaskGroup.stream(source)
expect<
  Equals<
    typeof fromSource,
    Stream.Stream<{ readonly member: typeof aQuiet; readonly exit: QuietExit }, "lost" | Fault, "service" | Store>
  >
>()
// @ts-expect-error -- payloads are no members
accept(TaskGroup.stream([1, 2]))
