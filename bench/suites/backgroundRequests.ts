/**
 * How long the requests of `examples/19-web` take while its tasks run beside them: POST /contact, 200 in each second.
 *
 * `alone`: nothing is enqueued. `beside mails`: each is stored and mailed, as the example does it. `and a clean-up`: old
 * messages are deleted all the time, too. The servers, the mail server, PostgreSQL and the load have processes of their own,
 * or share this one. Each turn is a part of the load, and the subjects take turns.
 *
 * Equal answers say that each message that was accepted has been mailed, once, and no other.
 */
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { BenchDatabase } from "../Database.ts"
import { rotated } from "../Harness.ts"
import * as Web from "../peers/web.ts"
import type { Case, Effort, Subject } from "../Suite.ts"
import { BenchError, failAs } from "../Suite.ts"

const perSecond = 200

const lengthOf = ({ quick }: Effort) =>
  quick ? { seconds: 1, turns: 1, old: 100_000 } : { seconds: 10, turns: 3, old: 1_000_000 }

/** What a subject's server has beside its requests. */
interface Beside {
  readonly mails: boolean
  readonly cleansUp: boolean
}

const besides: Readonly<Record<string, Beside>> = {
  alone: { mails: false, cleansUp: false },
  "beside mails": { mails: true, cleansUp: false },
  "beside mails and a clean-up": { mails: true, cleansUp: true }
}

/** Old messages, of which there are so many before each turn. */
const fill = (sql: SqlClient.SqlClient, count: number) =>
  Effect.gen(function* () {
    yield* sql`truncate web_message`
    yield* sql`insert into web_message (id, name, email, text, received_at)
      select 'old ' || n, 'Ann', 'ann@example.org', 'It was me, Ann.', now() - interval '31 days'
      from generate_series(1, ${count}::int) n`
    yield* sql`vacuum analyze web_message`
  })

const isLeft = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql`select from web_message where received_at < now() - interval '30 days' limit 1`,
    (rows) => rows.length > 0
  )

interface Turn {
  readonly millis: ReadonlyArray<number>
  readonly unsent: number
  readonly unasked: number
}

const open = Effect.fnUntraced(function* (name: string, { cleansUp, mails }: Beside, effort: Effort) {
  const { old, seconds } = lengthOf(effort)
  const sql = yield* SqlClient.SqlClient
  const { database, host, password, port, username } = yield* BenchDatabase
  const mail = yield* Web.mailServer
  const url = yield* Web.webServer(mails ? "../../examples/19-web/main.ts" : "webMain.ts", {
    DATABASE_URL: `postgres://${encodeURIComponent(username)}:${encodeURIComponent(Redacted.value(password))}@${host}:${port}/${database}`,
    SMTP_URL: mail.url
  })
  const sent = (
    ids: ReadonlySet<string>,
    found: ReadonlyArray<string> = []
  ): Effect.Effect<ReadonlyArray<string>, BenchError> =>
    Effect.flatMap(mail.taken, (more) => {
      const all = [...found, ...more]
      return !mails || ids.size <= all.length ? Effect.succeed(all) : Effect.delay(sent(ids, all), 50)
    })
  const turn = (length: number) =>
    Effect.gen(function* () {
      const { ids, millis } = yield* Web.load(url, perSecond, length)
      if (cleansUp && length === seconds && !(yield* isLeft(sql))) {
        return yield* new BenchError({ message: "the clean-up ended before the load: it has too few messages" })
      }
      const accepted = new Set(ids)
      const found = yield* Effect.timeoutOrElse(sent(accepted), {
        duration: "30 seconds",
        orElse: () => Effect.fail(new BenchError({ message: "not all that was accepted has been mailed" }))
      })
      const unasked = found.filter((id) => !accepted.delete(id)).length
      return { millis, unsent: mails ? accepted.size : 0, unasked }
    })
  // Compiled, and connected.
  yield* turn(seconds / 4)
  const measured = cleansUp
    ? Effect.andThen(Effect.andThen(fill(sql, old), Web.cleanUp(url)), turn(seconds))
    : turn(seconds)
  return { name, turn: measured.pipe(failAs(name)) }
})

const percentile = (sorted: ReadonlyArray<number>, percent: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? 0

/** All turns of all subjects. */
const run = Effect.fnUntraced(function* (effort: Effort) {
  const opened = yield* Effect.forEach(Object.entries(besides), ([name, beside]) => open(name, beside, effort))
  const turns = new Map(opened.map(({ name }) => [name, new Array<Turn>()]))
  for (let round = 0; round < lengthOf(effort).turns; round++) {
    for (const { name, turn } of rotated(opened, round)) turns.get(name)?.push(yield* turn)
  }
  return [...turns].map(([name, all]) => ({
    name,
    sorted: all.flatMap(({ millis }) => millis).toSorted((a, b) => a - b),
    answer: {
      "accepted and not mailed": all.reduce((sum, { unsent }) => sum + unsent, 0),
      "mailed twice, or not accepted": all.reduce((sum, { unasked }) => sum + unasked, 0)
    }
  }))
}, Effect.scoped)

export const requestCases = Effect.fnUntraced(function* (
  effort: Effort
): Effect.fn.Return<ReadonlyArray<Case>, never, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const runs = yield* Effect.cached(Effect.provideService(run(effort), SqlClient.SqlClient, sql))
  const caseOf = (name: string, percent: number): Case => ({
    name: `POST, ${name}`,
    unit: "ms",
    once: true,
    value: (measured) => measured,
    subjects: Effect.map(failAs("requests")(runs), (all) =>
      all.map(({ answer, name, sorted }): Subject => ({
        name,
        round: Effect.succeed({ measured: percentile(sorted, percent), answer })
      }))
    )
  })
  return [caseOf("median", 50), caseOf("p99", 99), caseOf("longest", 100)]
})
