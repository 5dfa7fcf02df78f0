/**
 * The queries of a round: reads and writes in every mode and shape, chosen by the seed, each with its own account of
 * what it wrote.
 */
import { Effect, Schema, Stream } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Query, RetryPolicy } from "querypool"
import type { QueryPool } from "querypool"
import type { Account } from "./Bookkeeping.ts"
import { Group } from "./Bookkeeping.ts"
import type { Dice } from "./Dice.ts"

export const schema = [
  "create table ledger (token text not null)",
  "create table upserted (token text primary key, times int not null default 1)",
  "create table account_of_chaos (id int primary key, moves int not null)",
  "insert into account_of_chaos select id, 0 from generate_series(1, 4) id"
]

class Own extends Schema.TaggedError<Own>()("Own", {}) {}

export interface Piece extends Account {
  readonly effect: Effect.Effect<unknown, unknown, QueryPool.QueryPool>
}

/** How the queries of a round are made. */
export interface Manner {
  readonly dice: Dice
  /** Unique among the rounds of a database. */
  readonly prefix: string
  /** Says of every query that it is idempotent, which is not so, and retries it: what the judge has to find. */
  readonly sabotaged: boolean
  /** Told of what no query may ever see. */
  readonly report: (wrong: string) => void
}

type Options = Query.Options<unknown>

// Quick, as thousands of queries wait for it.
const schedule = RetryPolicy.backoff({ base: "5 millis", cap: "100 millis", times: 6 })
export const quickTransient = RetryPolicy.make({ on: RetryPolicy.transient.matches, schedule })
const ownOrTransient = RetryPolicy.make({
  on: (error: unknown) => error instanceof Own || RetryPolicy.transient.matches(error),
  schedule
})

const insert = (sql: SqlClient, token: string) =>
  sql.unsafe(`/* ${token} */ insert into ledger (token) values ($1)`, [token])

/** A write that commits by itself, and what is noted of it. */
const noted = <A, E, R>(group: Group, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    group.sent()
    return Effect.onExit(effect, (exit) =>
      Effect.sync(() => {
        if (exit._tag === "Success") group.done()
      })
    )
  })

export const piecesOf = (manner: Manner, count: number): ReadonlyArray<Piece> =>
  Array.from({ length: count }, (_, index) => {
    const kind = manner.dice.pick(kinds)
    return makers[kind](manner, `${manner.prefix}-${index}`, kind)
  })

const tokensOf = (name: string, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`)

/** Limits and retries as the seed wants them. */
const optionsOf = ({ dice, sabotaged }: Manner, options: Options): Options => {
  const made: Options = {
    timeout: dice.chance(0.4) ? dice.between(60, 400) : undefined,
    retry: dice.pick([undefined, quickTransient, quickTransient, RetryPolicy.serializable]),
    ...options
  }
  return sabotaged ? { ...made, idempotent: true, retry: quickTransient } : made
}

type Maker = (manner: Manner, name: string, kind: string) => Piece

interface Shape {
  readonly groups: ReadonlyArray<Group>
  readonly discarded?: ReadonlyArray<string>
  readonly atomic?: boolean
  readonly givesUp?: boolean
}

const queryOf = <E>(
  manner: Manner,
  name: string,
  kind: string,
  shape: Shape,
  options: Options,
  body: (sql: SqlClient) => Effect.Effect<unknown, E | SqlError, QueryPool.QueryPool>
): Piece => ({
  name: `${kind} ${name}`,
  kind,
  mark: name,
  groups: shape.groups,
  discarded: shape.discarded ?? [],
  atomic: shape.atomic ?? false,
  givesUp: shape.givesUp ?? false,
  announced: true,
  effect: Query.make(`${kind} ${name}`, body, optionsOf(manner, options))
})

const inTransaction = (tokens: ReadonlyArray<string>, more: Options = {}) => {
  const group = new Group(tokens)
  return { group, shape: { groups: [group], atomic: true }, options: { mode: "transaction" as const, ...more } }
}

const napOf = ({ dice }: Manner, mark: string, mostMillis: number) => {
  const seconds = dice.between(0, mostMillis) / 1_000
  return (sql: SqlClient) => sql.unsafe(`/* ${mark} */ select pg_sleep($1)`, [seconds])
}

const makers = {
  insert: (manner, name, kind) => {
    const group = new Group(tokensOf(name, 1))
    return queryOf(manner, name, kind, { groups: [group] }, {}, (sql) => noted(group, insert(sql, `${name}-0`)))
  },
  several: (manner, name, kind) => {
    const groups = tokensOf(name, manner.dice.between(2, 4)).map((token) => new Group([token]))
    const nap = napOf(manner, name, 10)
    return queryOf(manner, name, kind, { groups }, {}, (sql) =>
      Effect.andThen(
        nap(sql),
        Effect.forEach(groups, (group) => noted(group, insert(sql, group.tokens[0] ?? "")))
      )
    )
  },
  transaction: (manner, name, kind) => {
    const { group, options, shape } = inTransaction(tokensOf(name, manner.dice.between(1, 3)))
    const nap = napOf(manner, name, 10)
    return queryOf(manner, name, kind, shape, options, (sql) => {
      group.sent()
      return Effect.andThen(
        Effect.forEach(group.tokens, (token) => insert(sql, token)),
        nap(sql)
      )
    })
  },
  nested: (manner, name, kind) => {
    const [outer = "", inner = "", dropped = ""] = tokensOf(name, 3)
    const group = new Group([outer, inner])
    return queryOf(manner, name, kind, { groups: [group], discarded: [dropped] }, {}, (sql) =>
      noted(
        group,
        sql.withTransaction(
          Effect.gen(function* () {
            yield* insert(sql, outer)
            yield* sql.withTransaction(insert(sql, inner))
            yield* Effect.catchTag(
              sql.withTransaction(Effect.andThen(insert(sql, dropped), Effect.fail(new Own()))),
              "Own",
              () => Effect.void
            )
          })
        )
      )
    )
  },
  twoTransactions: (manner, name, kind) => {
    const groups = [new Group([`${name}-0`, `${name}-1`]), new Group([`${name}-2`, `${name}-3`])]
    return queryOf(manner, name, kind, { groups }, {}, (sql) =>
      Effect.forEach(groups, (group) =>
        noted(group, sql.withTransaction(Effect.forEach(group.tokens, (token) => insert(sql, token))))
      )
    )
  },
  joined: (manner, name, kind) => {
    const [first, second] = [new Group([`${name}-0`]), new Group([`${name}-1`, `${name}-2`])]
    return queryOf(manner, name, kind, { groups: [first, second] }, {}, (sql) =>
      Effect.andThen(
        noted(first, insert(sql, `${name}-0`)),
        noted(
          second,
          Query.make("inner", (same) => Effect.forEach(second.tokens, (token) => insert(same, token)), {
            mode: "transaction"
          })
        )
      )
    )
  },
  ownError: (manner, name, kind) => {
    const group = new Group(tokensOf(name, 1))
    return queryOf(manner, name, kind, { groups: [group] }, { retry: ownOrTransient }, (sql) =>
      Effect.andThen(noted(group, insert(sql, `${name}-0`)), Effect.fail(new Own()))
    )
  },
  ownErrorInTransaction: (manner, name, kind) => {
    const { group, options, shape } = inTransaction(tokensOf(name, 1), { retry: ownOrTransient })
    let failures = manner.dice.between(0, 8)
    return queryOf(manner, name, kind, shape, options, (sql) => {
      group.sent()
      return Effect.andThen(
        insert(sql, `${name}-0`),
        Effect.suspend(() => (failures-- > 0 ? Effect.fail(new Own()) : Effect.void))
      )
    })
  },
  upsert: (manner, name, kind) => {
    const group = new Group(tokensOf(name, 1))
    const mode = manner.dice.pick(["autocommit", "transaction"] as const)
    const options = { mode, idempotent: true, retry: quickTransient }
    return queryOf(manner, name, kind, { groups: [group], atomic: mode === "transaction" }, options, (sql) => {
      const upsert = sql.unsafe(
        `/* ${name}-0 */ insert into upserted (token) values ($1)
          on conflict (token) do update set times = upserted.times + 1`,
        [`${name}-0`]
      )
      if (mode === "autocommit") return noted(group, upsert)
      group.sent()
      return upsert
    })
  },
  transfer: (manner, name, kind) => {
    const { dice } = manner
    const { group, options, shape } = inTransaction(tokensOf(name, 1), {
      retry: dice.chance(0.8) ? RetryPolicy.serializable : quickTransient
    })
    const from = dice.between(1, 4)
    const to = (from % 4) + 1
    const isRepeatable = dice.chance(0.4)
    return queryOf(manner, name, kind, shape, options, (sql) =>
      Effect.gen(function* () {
        if (isRepeatable) yield* sql`set transaction isolation level repeatable read`
        group.sent()
        yield* insert(sql, `${name}-0`)
        for (const id of [from, to]) yield* sql`update account_of_chaos set moves = moves + 1 where id = ${id}`
      })
    )
  },
  read: (manner, name, kind) => {
    const nap = napOf(manner, name, 30)
    return queryOf(manner, name, kind, { groups: [] }, { mode: "readOnly", retry: quickTransient }, (sql) =>
      Effect.gen(function* () {
        yield* nap(sql)
        const [row] = yield* sql.unsafe<{ memory: string }>(
          `/* ${name} */ select current_setting('work_mem') as memory, count(*) from ledger group by 1`
        )
        if (row?.memory === "7MB") manner.report(`${name} found the setting of another query`)
      })
    )
  },
  goesOn: (manner, name, kind) => {
    const groups = tokensOf(name, 3).map((token) => new Group([token]))
    const patience = manner.dice.between(0, 20)
    const fails = manner.dice.chance(0.5)
    return queryOf(manner, name, kind, { groups, givesUp: true }, { retry: ownOrTransient }, (sql) =>
      Effect.gen(function* () {
        for (const group of groups) {
          yield* Effect.timeoutOption(noted(group, insert(sql, group.tokens[0] ?? "")), patience)
        }
        if (fails) return yield* new Own()
      })
    )
  },
  goesOnInTransaction: (manner, name, kind) => {
    const { group, options, shape } = inTransaction(tokensOf(name, 2))
    const patience = manner.dice.between(0, 20)
    return queryOf(manner, name, kind, shape, options, (sql) =>
      Effect.gen(function* () {
        group.sent()
        yield* insert(sql, `${name}-0`)
        yield* Effect.timeoutOption(sql.withTransaction(sql`select pg_sleep(0.01)`), patience)
        yield* insert(sql, `${name}-1`)
      })
    )
  },
  setting: (manner, name, kind) =>
    queryOf(manner, name, kind, { groups: [] }, {}, (sql) =>
      Effect.andThen(
        sql.unsafe(`/* ${name} */ set work_mem = '7MB'`),
        sql.unsafe(`/* ${name} */ create temp table left_behind (id int)`)
      )
    ),
  writeInReadOnly: (manner, name, kind) =>
    queryOf(
      manner,
      name,
      kind,
      { groups: [], discarded: tokensOf(name, 1) },
      { mode: "readOnly", retry: quickTransient },
      (sql) => Effect.andThen(sql.unsafe(`/* ${name} */ select 1`), insert(sql, `${name}-0`))
    ),
  slowInsert: (manner, name, kind) => {
    const group = new Group(tokensOf(name, 1))
    const seconds = manner.dice.between(20, 200) / 1_000
    return queryOf(manner, name, kind, { groups: [group] }, {}, (sql) =>
      noted(
        group,
        sql.unsafe(`/* ${name}-0 */ with slept as (select pg_sleep($2)) insert into ledger select $1 from slept`, [
          `${name}-0`,
          seconds
        ])
      )
    )
  },
  streamThenInsert: (manner, name, kind) => {
    const group = new Group(tokensOf(name, 1))
    return queryOf(manner, name, kind, { groups: [group] }, {}, (sql) =>
      Effect.andThen(
        Stream.runDrain(
          sql.unsafe(`/* ${name} */ select id, repeat('x', 100) as text from generate_series(1, 500) id`).stream
        ),
        noted(group, insert(sql, `${name}-0`))
      )
    )
  },
  insertingStream: (manner, name, kind) => {
    const group = new Group(tokensOf(name, 1))
    const text = `/* ${name}-0 */ with written as (insert into ledger (token) values ($1) returning token)
      select id, token from written, generate_series(1, 300) id`
    return queryOf(manner, name, kind, { groups: [group] }, {}, (sql) =>
      noted(group, Stream.runDrain(sql.unsafe(text, [`${name}-0`]).stream))
    )
  },
  stream: ({ dice }, name, kind) => {
    const rows = Query.stream({
      name: `${kind} ${name}`,
      schema: Schema.Struct({ id: Schema.Int, text: Schema.String }),
      statement: (sql) =>
        sql.unsafe(`/* ${name} */ select id, repeat('x', 200) as text from generate_series(1, 1000) id`)
    })
    return {
      name: `${kind} ${name}`,
      kind,
      mark: name,
      groups: [],
      discarded: [],
      atomic: false,
      givesUp: false,
      announced: false,
      effect: Stream.runDrain(dice.chance(0.3) ? Stream.take(rows, 10) : rows)
    }
  }
} satisfies Record<string, Maker>

// Its keys are those of the object above, of which there is at least one.
const kinds = Object.keys(makers) as [keyof typeof makers, ...Array<keyof typeof makers>]
