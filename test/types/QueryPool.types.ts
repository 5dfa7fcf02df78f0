import type { Stream } from "effect"
import { Context, Effect, Schema } from "effect"
import type { Outcome, Progress, QueryError, Report } from "querypool"
import { Query, QueryPool } from "querypool"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

interface User {
  readonly name: string
}
class Stale extends Schema.TaggedError<Stale>()("Stale", {}) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}
class Tenant extends Context.Service<Tenant, { readonly id: number }>()("querypool/test/types/Tenant") {}
class Mailer extends Context.Service<Mailer, { readonly from: string }>()("querypool/test/types/Mailer") {}

type Pool = QueryPool.QueryPool
type Failure = QueryError.QueryError

declare const user: Query.Query<User, Failure | Stale, Tenant>
declare const count: Query.Query<number, Failure>
declare const mail: Effect.Effect<string, Refused, Mailer>
declare const quiet: Effect.Effect<boolean>

// ---- the shape of `all` is the shape that it is given ----------------------------------------------------------------

const tuple = QueryPool.all([user, count, mail, quiet])
expect<
  Equals<
    typeof tuple,
    Effect.Effect<[User, number, string, boolean], Failure | Stale | Refused, Tenant | Mailer | Pool>
  >
>()

declare const readonlyTuple: readonly [typeof user, typeof mail]
const ofReadonlyTuple = QueryPool.all(readonlyTuple)
expect<
  Equals<typeof ofReadonlyTuple, Effect.Effect<[User, string], Failure | Stale | Refused, Tenant | Mailer | Pool>>
>()

declare const array: Array<typeof user>
const ofArray = QueryPool.all(array)
expect<Equals<typeof ofArray, Effect.Effect<Array<User>, Failure | Stale, Tenant | Pool>>>()

declare const mixed: ReadonlyArray<typeof count | typeof mail>
const ofMixed = QueryPool.all(mixed)
expect<Equals<typeof ofMixed, Effect.Effect<Array<number | string>, Failure | Refused, Mailer | Pool>>>()

const ofMapped = QueryPool.all(
  [1, 2, 3].map((id) => Query.make(`user ${id}`, (sql) => sql<User>`select name from users where id = ${id}`))
)
expect<Equals<typeof ofMapped, Effect.Effect<Array<ReadonlyArray<User>>, Failure, Pool>>>()

declare const atLeastOne: readonly [typeof count, ...Array<typeof mail>]
const ofAtLeastOne = QueryPool.all(atLeastOne)
expect<Equals<typeof ofAtLeastOne, Effect.Effect<[number, ...Array<string>], Failure | Refused, Mailer | Pool>>>()

const ofRecord = QueryPool.all({ user, mail, quiet })
expect<
  Equals<
    typeof ofRecord,
    Effect.Effect<{ user: User; mail: string; quiet: boolean }, Failure | Stale | Refused, Tenant | Mailer | Pool>
  >
>()

declare const dictionary: Readonly<Record<string, typeof count>>
const ofDictionary = QueryPool.all(dictionary)
expect<Equals<typeof ofDictionary, Effect.Effect<{ [x: string]: number }, Failure, Pool>>>()

declare const partial: { readonly user?: typeof user; readonly count: typeof count }
const ofPartial = QueryPool.all(partial)
expect<Equals<typeof ofPartial, Effect.Effect<{ user?: User; count: number }, Failure | Stale, Tenant | Pool>>>()

const ofSet = QueryPool.all(new Set([user]))
expect<Equals<typeof ofSet, Effect.Effect<Array<User>, Failure | Stale, Tenant | Pool>>>()

const ofGenerator = QueryPool.all(
  (function* () {
    yield count
    yield mail
  })()
)
expect<Equals<typeof ofGenerator, Effect.Effect<Array<number | string>, Failure | Refused, Mailer | Pool>>>()

const ofNoTuple = QueryPool.all([])
expect<Equals<typeof ofNoTuple, Effect.Effect<[], never, Pool>>>()

const ofNoRecord = QueryPool.all({})
expect<Equals<typeof ofNoRecord, Effect.Effect<{}, never, Pool>>>()

const quietAlone = QueryPool.all([quiet])
expect<Equals<typeof quietAlone, Effect.Effect<[boolean], never, Pool>>>()

const nested = QueryPool.all([Effect.all([user, count]), Effect.orDie(user)])
expect<Equals<typeof nested, Effect.Effect<[[User, number], User], Failure | Stale, Tenant | Pool>>>()

// ---- and is an effect like any other ----------------------------------------------------------------------------------

const changed = tuple.pipe(
  Effect.map(([first, , third]) => `${first.name} ${third}`),
  Effect.catchTag("Stale", () => Effect.succeed(0)),
  Effect.provideService(Tenant, { id: 1 })
)
expect<Equals<typeof changed, Effect.Effect<string | number, Failure | Refused, Mailer | Pool>>>()

const retrieved = Effect.gen(function* () {
  const { user: one, mail: two } = yield* ofRecord
  return [one, two] as const
})
expect<
  Equals<typeof retrieved, Effect.Effect<readonly [User, string], Failure | Stale | Refused, Tenant | Mailer | Pool>>
>()

// @ts-expect-error -- no member fails with such an error
accept(Effect.catchTag(tuple, "Lost", () => Effect.void))

// ---- mode -------------------------------------------------------------------------------------------------------------

const outcomes = QueryPool.all([user, count, quiet], { mode: "outcome" })
expect<
  Equals<
    typeof outcomes,
    Effect.Effect<
      [Outcome.Outcome<User, Failure | Stale>, Outcome.Outcome<number, Failure>, Outcome.Outcome<boolean, never>],
      never,
      Tenant | Pool
    >
  >
>()

const outcomesByName = QueryPool.all({ user, mail }, { mode: "outcome", concurrency: 2 })
expect<
  Equals<
    typeof outcomesByName,
    Effect.Effect<
      { user: Outcome.Outcome<User, Failure | Stale>; mail: Outcome.Outcome<string, Refused> },
      never,
      Tenant | Mailer | Pool
    >
  >
>()

const outcomesOfMixed = QueryPool.all(mixed, { mode: "outcome" })
expect<
  Equals<
    typeof outcomesOfMixed,
    Effect.Effect<Array<Outcome.Outcome<number, Failure> | Outcome.Outcome<string, Refused>>, never, Mailer | Pool>
  >
>()

const byDefault = QueryPool.all([count], {
  mode: "default",
  onEvent: (event) => expect<Equals<typeof event.at, number>>()
})
expect<Equals<typeof byDefault, Effect.Effect<[number], Failure, Pool>>>()

const modeLeftOut = QueryPool.all([count], { concurrency: undefined, onEvent: undefined })
expect<Equals<typeof modeLeftOut, Effect.Effect<[number], Failure, Pool>>>()

declare const eitherMode: "default" | "outcome"
const inEitherMode = QueryPool.all([count], { mode: eitherMode })
expect<Equals<typeof inEitherMode, Effect.Effect<[number | Outcome.Outcome<number, Failure>], Failure, Pool>>>()

// ---- report -----------------------------------------------------------------------------------------------------------

const ofReport = QueryPool.report([user, mail])
expect<Equals<typeof ofReport, Effect.Effect<Report.Report, never, Tenant | Mailer | Pool>>>()

const ofReportByName = QueryPool.report({ user, quiet }, { concurrency: 2 })
expect<Equals<typeof ofReportByName, Effect.Effect<Report.Report, never, Tenant | Pool>>>()

const ofReportOfSet = QueryPool.report(new Set([count]))
expect<Equals<typeof ofReportOfSet, Effect.Effect<Report.Report, never, Pool>>>()

const ofProgress = QueryPool.progress([user, mail], { progressEvery: "100 millis" })
expect<
  Equals<
    typeof ofProgress,
    Stream.Stream<Progress.Progress & { readonly report?: Report.Report }, never, Tenant | Mailer | Pool>
  >
>()

const longestFirst = QueryPool.report([user], { order: "longest-first" })
expect<Equals<typeof longestFirst, Effect.Effect<Report.Report, never, Tenant | Pool>>>()

const inOrder = QueryPool.all([count], { order: "longest-first", mode: "outcome" })
expect<Equals<typeof inOrder, Effect.Effect<[Outcome.Outcome<number, Failure>], never, Pool>>>()

// ---- stream -----------------------------------------------------------------------------------------------------------

interface Ended<Q, A, E> {
  readonly query: Q
  readonly outcome: Outcome.Outcome<A, E>
}

const ofIterable = QueryPool.stream([user, user])
expect<Equals<typeof ofIterable, Stream.Stream<Ended<typeof user, User, Failure | Stale>, never, Tenant | Pool>>>()

declare const asyncIterable: AsyncIterable<typeof count>
const ofAsyncIterable = QueryPool.stream(asyncIterable, { preserveOrder: true, concurrency: 2 })
expect<Equals<typeof ofAsyncIterable, Stream.Stream<Ended<typeof count, number, Failure>, never, Pool>>>()

declare const source: Stream.Stream<typeof count, Stale, Mailer>
const ofStream = QueryPool.stream(source)
expect<Equals<typeof ofStream, Stream.Stream<Ended<typeof count, number, Failure>, Stale, Mailer | Pool>>>()

const ofMixedStream = QueryPool.stream([count, mail])
expect<
  Equals<
    typeof ofMixedStream,
    Stream.Stream<
      {
        readonly query: typeof count | typeof mail
        readonly outcome: Outcome.Outcome<number | string, Failure | Refused>
      },
      never,
      Mailer | Pool
    >
  >
>()

// ---- refused ----------------------------------------------------------------------------------------------------------

// @ts-expect-error -- one query is not a run
accept(QueryPool.all(user))
// @ts-expect-error -- one effect is not a run
accept(QueryPool.all(mail))
// @ts-expect-error -- one query is not a run
accept(QueryPool.report(user))
// @ts-expect-error -- one effect is not a run
accept(QueryPool.report(mail))
// @ts-expect-error -- one query is not a run
accept(QueryPool.progress(user))
// @ts-expect-error -- a text is an iterable of texts
accept(QueryPool.all("select 1"))
// @ts-expect-error -- a promise is no effect
accept(QueryPool.all([Promise.resolve(1)]))
// @ts-expect-error -- neither is a function that makes one
accept(QueryPool.all({ user: () => user }))
// @ts-expect-error -- a map is an iterable of pairs
accept(QueryPool.all(new Map([["user", user]])))
// @ts-expect-error -- an asynchronous iterable is for `stream`
accept(QueryPool.all(asyncIterable))
// @ts-expect-error -- a stream is for `stream`
accept(QueryPool.all(source))
// @ts-expect-error -- a stream of numbers is no stream of effects
accept(QueryPool.stream([1, 2]))

// @ts-expect-error -- no such mode
accept(QueryPool.all([user], { mode: "nonsense" }))
// @ts-expect-error -- no such option
accept(QueryPool.all([user], { parallelism: 2 }))
// @ts-expect-error -- concurrency has a bound
accept(QueryPool.all([user], { concurrency: "unbounded" }))
// @ts-expect-error -- the results of `all` are in the order given
accept(QueryPool.all([user], { preserveOrder: true }))
// @ts-expect-error -- a report is of outcomes already
accept(QueryPool.report([user], { mode: "outcome" }))
// @ts-expect-error -- no such option
accept(QueryPool.report([user], { parallelism: 2 }))
// @ts-expect-error -- progress ends with a report, which is of outcomes already
accept(QueryPool.progress([user], { mode: "outcome" }))
// @ts-expect-error -- no such duration
accept(QueryPool.progress([user], { progressEvery: "often" }))
// @ts-expect-error -- a stream is of outcomes already
accept(QueryPool.stream([user], { mode: "outcome" }))
// @ts-expect-error -- no such option
accept(QueryPool.stream([user], { parallelism: 2 }))
// @ts-expect-error -- no such order
accept(QueryPool.all([user], { order: "shortest-first" }))
// @ts-expect-error -- the queries of a stream are not known before it
accept(QueryPool.stream([user], { order: "longest-first" }))
// @ts-expect-error -- what needs what is said by composing effects
accept(QueryPool.all([user], { needs: {} }))
