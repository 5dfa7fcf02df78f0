// Nothing is tried again, and nothing is limited, until you say so. A retry then happens only where it cannot write
// twice, and what takes too long is stopped on the server.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schedule, Schema } from "effect"
import { PgQueryPool, Query, QueryError, QueryPool, RetryPolicy } from "querypool"

const Invoice = Schema.Struct({ total: Schema.Finite })

// Celery's "at most 10 retries, 60 seconds apart, only when the row is not there yet":
const poll = RetryPolicy.make({ on: ["NoRows"], schedule: Schedule.upTo(Schedule.spaced("60 seconds"), { times: 10 }) })

const invoice = Query.findOne(
  { name: "invoice", schema: Invoice, statement: (sql) => sql`select total from invoice where id = 7` },
  { mode: "readOnly", retry: poll } // the server refuses to write, so another try is always safe
)
const pay = Query.make("pay", (sql) => sql`update invoice set paid = true where id = 7`, {
  mode: "transaction", // all or nothing: what fails leaves nothing behind, and may be tried again
  retry: RetryPolicy.transient, // lost connections, deadlocks, a server that restarts: five times, with backoff
  timeout: "1 second" // for all attempts together; what runs then is cancelled on the server
})

const prepare = Query.make("prepare", (sql) =>
  Effect.gen(function* () {
    yield* sql`create table invoice (id int, total int, paid boolean default false)`
    yield* sql`create sequence updates`
    // The first update loses its connection, the third takes too long.
    yield* sql`create function go_wrong() returns trigger language plpgsql as $$ begin
      case nextval('updates')
        when 1 then perform pg_terminate_backend(pg_backend_pid());
        when 3 then perform pg_sleep(600);
        else null;
      end case;
      return new;
    end $$`
    yield* sql`create trigger go_wrong before update on invoice for each row execute function go_wrong()`
  })
)

const tell = Effect.fn(function* (query: typeof invoice | typeof pay) {
  const { queries } = yield* QueryPool.report([query], { deadline: "10 seconds" })
  for (const { attempts, error, name, outcome } of queries) {
    const why = error instanceof QueryError.QueryError ? `, ${error.reason._tag}: ${error.reason.message}` : ""
    yield* Console.log(`${name}: ${outcome} at attempt ${attempts}${why}`)
  }
})

const program = Effect.gen(function* () {
  yield* prepare
  // There is no invoice yet, and another try in a minute would come after the deadline of the run.
  yield* tell(invoice)
  yield* Query.make("issue", (sql) => sql`insert into invoice (id, total) values (7, 100)`)
  yield* tell(invoice)
  yield* tell(pay)
  yield* tell(pay)
})

program.pipe(Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })), NodeRuntime.runMain)
