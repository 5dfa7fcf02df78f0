/**
 * The same queries on many databases (`querypool run --targets`), of which some hang: how long the others take, compared
 * with a run of those alone.
 *
 * The databases are copies of one, on the server that is measured; those that hang are reached through a proxy that lets
 * nothing pass any more once it has seen their first query, so that their connections stay open and say nothing. What
 * is measured is the time until the last of the others has ended; then the network is back, and the run is interrupted.
 *
 * With a total, the places and the slots of those that hang are missing to the others.
 *
 * While it is measured, a second connection looks again and again at how many connections there are: more than the
 * limits allow, for one database or in all, fail the round.
 */
import { PgClient } from "@effect/sql-pg"
import { Cause, Deferred, Effect, Fiber, FileSystem, Layer, Path } from "effect"
import type { Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient } from "effect/sql/SqlClient"
import type { FilePlan } from "../../src/cli/FilePlan.ts"
import * as TargetRun from "../../src/cli/TargetRun.ts"
import type { Target } from "../../src/cli/TargetsFile.ts"
import type * as Faults from "../../test/support/Faults.ts"
import { filePlanOf, freezingAt, noRows } from "../../test/support/fileRuns.ts"
import type { Connection } from "../Database.ts"
import { BenchDatabase } from "../Database.ts"
import type { Case, Effort, Subject, Suite } from "../Suite.ts"
import { BenchError, failAs } from "../Suite.ts"

const applicationName = "querypool bench targets"

const concurrency = 2

const countsOf = ({ quick }: Effort) => (quick ? { databases: 6, frozen: 1 } : { databases: 100, frozen: 3 })

/** Enough for those that hang to hold, each as many as its concurrency, and for others to have the rest. */
const totalOf = ({ quick }: Effort): number => (quick ? 4 : 20)

const queriesOnEach = 10

const rows = 1000

/** Who has not ended by then waits for one that hangs. */
const longest = "1 minute"

const sql = Array.from(
  { length: queriesOnEach },
  (_, index) => `-- name: q${index}\nselect sum(value + ${index})::int as sum from item;`
).join("\n")

/** Copies of the suite's database, until the scope closes; gives their names. */
const makeDatabases = Effect.fnUntraced(function* (count: number) {
  const sql = yield* SqlClient
  yield* sql`create table item (id int primary key, value int)`
  yield* sql`insert into item select id, id % 10 from generate_series(1, ${rows}::int) id`
  yield* sql`vacuum analyze item`
  const [found] = yield* sql<{ readonly name: string }>`select current_database() as name`
  const template = found?.name ?? ""
  return yield* Effect.forEach(Array.from({ length: count }), (_, index) => {
    const name = `${template}_${index}`
    return Effect.as(
      Effect.acquireRelease(sql`create database ${sql(name)} template ${sql(template)}`, () =>
        Effect.orDie(sql`drop database ${sql(name)} with (force)`)
      ),
      name
    )
  })
})

const limits = (total: number | undefined, databases: number) => ({
  each: concurrency,
  all: concurrency * Math.min(total ?? databases, databases),
  active: total ?? concurrency * databases
})

interface Sample {
  readonly each: number
  readonly all: number
  readonly active: number
}

/** What there is at this moment: the most of one database, all, and how many of these run a query. */
const look = (observer: PgClient.PgClient) =>
  Effect.map(
    // A connection that logs in belongs to no database yet.
    observer.unsafe<Sample>(`
      select coalesce(max(connections) filter (where datname is not null), 0)::int as each,
        coalesce(sum(connections), 0)::int as all, coalesce(sum(active), 0)::int as active
      from (
        select datname, count(*) as connections, count(*) filter (where state = 'active') as active
        from pg_stat_activity where application_name = '${applicationName}' group by datname
      ) of_each`),
    ([sample]) => sample ?? { each: 0, all: 0, active: 0 }
  )

/** Looks until it is interrupted; fails when there is more than there may be. */
const watch = (name: string, observer: PgClient.PgClient, limit: Sample) =>
  Effect.forever(
    Effect.flatMap(Effect.delay(look(observer), 10), ({ active, all, each }) =>
      each > limit.each || all > limit.all || active > limit.active
        ? Effect.fail(
            new BenchError({
              message:
                `${name}: ${each} connections to one database (of ${limit.each}), ` +
                `${all} in all (of ${limit.all}), ${active} active (of ${limit.active})`
            })
          )
        : Effect.void
    )
  )

const targetOf = (
  server: Connection,
  database: string,
  through: { readonly host: string; readonly port: number }
): Target => ({
  name: database,
  label: database,
  config: { ...server, host: through.host, port: through.port, database, applicationName }
})

const options = (total: number | undefined): TargetRun.Options => ({ ...noRows, concurrency, total, maxRows: 1 })

/** Where the command would remember what each query took, which is nothing that a bench is to teach it. */
const nowhere = Layer.merge(
  FileSystem.layerNoop({ makeDirectory: () => Effect.void, writeFile: () => Effect.void, rename: () => Effect.void }),
  Path.layer
)

/** One run of all: gives how long the healthy took, and the sum of what their queries gave. */
const runAll = Effect.fnUntraced(function* (
  filePlan: FilePlan,
  targets: ReadonlyArray<Target>,
  healthy: ReadonlySet<string>,
  total: number | undefined
) {
  const done = yield* Deferred.make<number, BenchError>()
  let sum = 0
  let left = healthy.size
  const startedAt = performance.now()
  const teller: TargetRun.TargetsTeller = {
    begun: (name) => ({
      unreached: () => {},
      happened: () => {},
      ended: ({ report, result }) => {
        if (!healthy.has(name)) return
        sum += Number(result.rows[0]?.["sum"])
        if (report.outcome === "Succeeded") return
        const message = `${name}: ${report.name} ${report.outcome}: ${String(report.error)}`
        Deferred.doneUnsafe(done, Effect.fail(new BenchError({ message })))
      },
      unreachable: (message) => {
        if (healthy.has(name)) Deferred.doneUnsafe(done, Effect.fail(new BenchError({ message })))
      },
      over: () => {
        if (healthy.has(name) && --left === 0) {
          Deferred.doneUnsafe(done, Effect.succeed((performance.now() - startedAt) / 1000))
        }
      }
    }),
    over: () => {}
  }
  const run = yield* Effect.forkScoped(
    TargetRun.run(targets, filePlan, options(total), teller).pipe(
      Effect.provide(nowhere),
      Effect.catchTag("QueryFailed", () => Effect.void),
      // Nobody would wait for a run that is over.
      Effect.onError((cause) => Deferred.failCause(done, Cause.die(Cause.squash(cause))))
    )
  )
  const seconds = yield* Effect.timeoutOrElse(Deferred.await(done), {
    duration: longest,
    orElse: () => Effect.fail(new BenchError({ message: `${left} databases have not ended in ${longest}` }))
  })
  return { measured: seconds, answer: { databases: healthy.size, sum }, stop: Fiber.interrupt(run) }
})

const subject = Effect.fnUntraced(function* (
  name: string,
  databases: ReadonlyArray<string>,
  frozen: ReadonlySet<string>,
  beside: boolean,
  total: number | undefined
): Effect.fn.Return<Subject, BenchError, Scope.Scope | BenchDatabase> {
  const server = yield* BenchDatabase
  const filePlan = yield* filePlanOf(sql).pipe(failAs(name))
  const observer = yield* PgClient.make({ ...server, maxConnections: 1 }).pipe(
    Effect.provide(Reactivity.layer),
    failAs(name)
  )
  const healthy = new Set(databases.filter((database) => !frozen.has(database)))
  const round = Effect.gen(function* () {
    const networks = new Map<string, Faults.Faults>()
    if (beside) for (const database of frozen) networks.set(database, yield* freezingAt("from item", server))
    const targets = databases
      .filter((database) => beside || healthy.has(database))
      .map((database) => targetOf(server, database, networks.get(database) ?? server))
    const watching = yield* Effect.forkScoped(watch(name, observer, limits(total, targets.length)))
    const { answer, measured, stop } = yield* Effect.raceFirst(
      runAll(filePlan, targets, healthy, total),
      Fiber.join(watching)
    )
    // Cancels open connections of their own, which are not counted.
    yield* Fiber.interrupt(watching)
    for (const { heal } of networks.values()) yield* heal
    yield* stop
    return { measured, answer }
  })
  return { name, round: Effect.scoped(round).pipe(failAs(name)) }
})

const caseOf = (
  name: string,
  databases: ReadonlyArray<string>,
  frozenCount: number,
  total: number | undefined
): Case => {
  const apart = Math.floor(databases.length / frozenCount)
  const frozen = new Set(databases.filter((_, index) => index % apart === 0).slice(0, frozenCount))
  const healthy = databases.length - frozenCount
  return {
    name,
    unit: "s",
    value: (seconds) => seconds,
    subjects: Effect.all([
      subject(`${healthy} alone`, databases, frozen, false, total),
      subject(`${healthy} beside ${frozenCount} that hang`, databases, frozen, true, total)
    ])
  }
}

export const targets: Suite = {
  name: "targets",
  about: (effort) => {
    const { databases, frozen } = countsOf(effort)
    return `${queriesOnEach} queries on each of ${databases - frozen} databases, ${concurrency} at a time on each`
  },
  cases: (effort) =>
    Effect.gen(function* () {
      const { databases: count, frozen } = countsOf(effort)
      const databases = yield* makeDatabases(count)
      const total = totalOf(effort)
      return [
        caseOf("all at once", databases, frozen, undefined),
        caseOf(`${total} queries in all`, databases, frozen, total)
      ]
    })
}
