// Tasks that belong together: so many that they pass through a bounded window, a few that are waited for as one, and some
// that another task follows, however they ended.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Exit, Layer, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { PgQueryPool } from "querypool"
import { Task, TaskGroup, TaskRunner, TaskStore, TaskStoreMemory } from "querypool/task"

class Empty extends Schema.TaggedError<Empty>()("Empty", { above: Schema.Int }) {}

const square = Task.make("square", { payload: Schema.Int, success: Schema.Int, session: "none" })
const sum = Task.make("sum", { payload: Schema.Int, success: Schema.Int, error: Empty })
// Its payload is how each of any number of sums has ended: a value, Empty, or why there is neither.
const report = Task.make("report", {
  payload: Schema.Array(TaskGroup.exit(sum)),
  success: Schema.String,
  session: "transaction"
})

const Handlers = Layer.mergeAll(
  Task.toLayer(square, (n) => Effect.succeed(n * n)),
  Task.toLayer(sum, (above, { sql }) =>
    Effect.gen(function* () {
      const rows = yield* sql<{ sum: number }>`
        select sum(square)::float8 as sum from squares where n > ${above} and n <= ${above} + 10000 having count(*) > 0`
      return rows[0] === undefined ? yield* new Empty({ above }) : rows[0].sum
    })
  ),
  Task.toLayer(report, (exits, { sql }) =>
    Effect.gen(function* () {
      const sums = exits.flatMap((exit) => (Exit.isSuccess(exit) ? [exit.value] : []))
      const total = sums.reduce((all, one) => all + one, 0)
      yield* sql`insert into reports ${sql.insert({ total })}`
      return `${sums.length} of ${exits.length} parts, in sum ${total}`
    })
  )
)

/** Computes 50,000 things, and has one writer store them as they come: a statement for each thousand. */
const fill = Effect.gen(function* () {
  const sql = yield* SqlClient
  const { list } = yield* TaskStore.TaskStore
  let mostKept = 0
  let statements = 0
  const members = Stream.map(Stream.range(1, 50_000), (n) => TaskGroup.member(square, n))
  yield* TaskGroup.stream(members, { concurrency: 100 }).pipe(
    Stream.mapEffect(({ exit, member }) => Effect.map(exit, (square) => ({ n: member.payload, square }))),
    Stream.grouped(1000),
    Stream.runForEach((rows) =>
      Effect.gen(function* () {
        mostKept = Math.max(mostKept, (yield* list({ limit: 50_000 })).length)
        statements++
        yield* sql`insert into squares ${sql.insert(rows)}`
      })
    )
  )
  const [row] = yield* sql<{ count: number }>`select count(*)::int as count from squares`
  yield* Console.log(`${row?.count} rows by ${statements} statements`)
  yield* Console.log(mostKept <= 1100 ? "the store never had more than 1,100 tasks" : `the store had ${mostKept} tasks`)
})

const program = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`create table squares (n int primary key, square int8)`
  yield* sql`create table reports (total float8)`
  yield* fill

  const { first, last } = yield* TaskGroup.all({
    first: TaskGroup.member(sum, 0),
    last: TaskGroup.member(sum, 50_000)
  })
  yield* Console.log(Exit.match(first, { onSuccess: (value) => `first: ${value}`, onFailure: String }))
  yield* Console.log(Exit.isFailure(last) ? "last: there is nothing to sum" : `last: ${last.value}`)

  // All of it is there after the COMMIT, or nothing is.
  const { callback } = yield* sql.withTransaction(
    TaskGroup.chord(
      [0, 10_000, 20_000, 30_000, 40_000, 50_000].map((above) => TaskGroup.member(sum, above)),
      report
    )
  )
  yield* Console.log(yield* yield* callback.await)
})

const Tasks = Handlers.pipe(
  Layer.provide(TaskRunner.layer()),
  Layer.provideMerge(TaskStoreMemory.layerMemory({ retained: 1000 })),
  Layer.provideMerge(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
)

program.pipe(Effect.provide(Tasks), NodeRuntime.runMain)
