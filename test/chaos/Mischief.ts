/**
 * What happens to a round: faults of the network at messages and at times, and of the server at times, chosen by the
 * seed. All of it passes: what freezes or is half-open is lifted within a second.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import * as Faults from "../support/Faults.ts"
import type { Server } from "../support/Server.ts"
import type { Dice } from "./Dice.ts"

/** Something that may happen. */
export interface Deed {
  readonly kind: string
  /** How often it has happened. */
  readonly struck: () => number
  /** Whether what it does can leave an answer in doubt without a message to show for it. */
  readonly silent?: boolean
  /** Whether the server cancels a statement that nobody of the pool wanted to be cancelled. */
  readonly cancels?: boolean
  readonly start: (scene: Scene) => Effect.Effect<void, SqlError>
}

interface Scene {
  readonly faults: Faults.Faults
  readonly server: Server
  readonly applicationName: string
}

const never = () => 0

const insertOf = /insert into (ledger|upserted)/
const commitOf = /^\s*commit\b/i
const answerOf = (statement: RegExp) => Faults.fromServer("CommandComplete", { statement })

/** A fault at a message: it stays in force until it has struck so often. */
const atMessage =
  (kind: string, make: (dice: Dice) => Parameters<Faults.Faults["inject"]>) =>
  (dice: Dice): Deed => {
    const [fault, options] = make(dice)
    return ofMessage(kind, fault, { times: dice.between(1, 3), chance: dice.pick([0.1, 0.3, 1]), ...options })
  }

const ofMessage = (kind: string, ...[fault, options]: Parameters<Faults.Faults["inject"]>): Deed => {
  let struck = never
  return {
    kind,
    // What the system holds for other connections is lost unseen.
    silent: options?.hits === "everything",
    struck: () => struck(),
    start: ({ faults }) =>
      Effect.map(faults.inject(fault, options), (injection) => {
        struck = injection.count
      })
  }
}

/** A fault that comes after a time and is lifted after another. */
const forAWhile =
  (kind: string, make: (dice: Dice) => Parameters<Faults.Faults["inject"]>, least: number, most: number) =>
  (dice: Dice): Deed => {
    const [fault, options] = make(dice)
    const [after, lasting] = [dice.between(0, 200), dice.between(least, most)]
    let struck = never
    return {
      kind,
      silent: true,
      struck: () => struck(),
      start: Effect.fnUntraced(function* ({ faults }) {
        yield* Effect.sleep(after)
        const injection = yield* faults.inject(fault, options)
        struck = injection.count
        yield* Effect.ensuring(Effect.sleep(lasting), injection.lift)
      })
    }
  }

/** Signals to backends of the pool that work at that moment. */
const signal =
  (kind: string, call: string, cancels: boolean) =>
  (dice: Dice): Deed => {
    const times = Array.from({ length: dice.between(1, 4) }, () => dice.between(0, 300))
    let struck = 0
    return {
      kind,
      cancels,
      struck: () => struck,
      start: ({ applicationName, server }) =>
        Effect.forEach(
          times,
          (after) =>
            Effect.andThen(
              Effect.sleep(after),
              Effect.map(
                // Materialized, or the call could come first, and hit everybody.
                server.rows(
                  `with meant as materialized (select pid from pg_stat_activity
                    where application_name = $1 and state <> 'idle' order by query_start limit 1)
                  select ${call} from meant`,
                  [applicationName]
                ),
                (rows) => {
                  struck += rows.length
                }
              )
            ),
          { concurrency: "unbounded", discard: true }
        )
    }
  }

const ending = (dice: Dice) => ({ how: dice.pick(["reset", "end"] as const) })
const reach = (dice: Dice) => ({ hits: dice.pick(["connection", "connection", "everything"] as const) })

const deeds = [
  atMessage("cut before the answer to a write", (dice) => [Faults.cut(ending(dice)), { before: answerOf(insertOf) }]),
  atMessage("cut before the answer to COMMIT", (dice) => [Faults.cut(ending(dice)), { before: answerOf(commitOf) }]),
  atMessage("cut after the answer to a write", (dice) => [Faults.cut(ending(dice)), { after: answerOf(insertOf) }]),
  atMessage("cut after a write was sent", (dice) => [
    Faults.cut(ending(dice)),
    { after: Faults.fromClient("Execute", { statement: insertOf }) }
  ]),
  atMessage("cut after the Sync of a write", (dice) => [
    Faults.cut(ending(dice)),
    { after: Faults.fromClient("Sync", { statement: insertOf }), ...reach(dice) }
  ]),
  atMessage("cut before COMMIT", (dice) => [
    Faults.cut(ending(dice)),
    { before: Faults.fromClient("Execute", { statement: commitOf }) }
  ]),
  atMessage("cut after the Sync of COMMIT", (dice) => [
    Faults.cut(ending(dice)),
    { after: Faults.fromClient("Sync", { statement: commitOf }), ...reach(dice) }
  ]),
  atMessage("cut among rows", (dice) => [
    Faults.cut(ending(dice)),
    { before: Faults.fromServer("DataRow", { statement: /generate_series/, nth: dice.between(1, 300) }) }
  ]),
  atMessage("cut while connecting", () => [Faults.cut(), { after: Faults.fromClient("StartupMessage") }]),
  atMessage("refused for too many connections", () => [Faults.answer({ code: "53300" }), { on: "coming" }]),
  atMessage("refused while starting", () => [Faults.answer({ code: "57P03" }), { on: "coming" }]),
  atMessage("ended by the server", () => [Faults.answer({ code: "57P01" }), { before: answerOf(insertOf), on: "all" }]),
  forAWhile("delay", (dice) => [Faults.delay({ millis: [0, dice.between(1, 30)] }), { chance: 0.5 }], 100, 500),
  forAWhile("short freeze", (dice) => [Faults.freeze({ way: dice.pick(["both", "toClient", "toServer"]) })], 10, 50),
  forAWhile("long freeze", (dice) => [Faults.freeze(), { chance: dice.pick([0.3, 1]) }], 500, 900),
  forAWhile(
    "half-open",
    (dice) => [Faults.halfOpen({ gone: dice.pick(["server", "client"]) }), { chance: 0.5 }],
    100,
    600
  ),
  forAWhile("refused", () => [Faults.refuse()], 10, 150),
  signal("terminated", "pg_terminate_backend(pid)", false),
  signal("cancelled by another", "pg_cancel_backend(pid)", true)
] as const

/** A duplicate of each cancel that the pool sends, delivered when its backend has long gone on. */
const lateCancels = (dice: Dice): Deed => {
  const after = dice.between(50, 300)
  let delivered = 0
  return {
    kind: "late cancel",
    struck: () => delivered,
    start: Effect.fnUntraced(function* ({ faults }) {
      yield* faults.inject(Faults.keepCancel({ passing: true }))
      yield* Effect.repeat(
        Effect.andThen(
          Effect.sleep(after),
          Effect.map(faults.deliverCancels, (count) => {
            delivered += count
          })
        ),
        { times: 4 }
      )
    })
  }
}

export const deedsOf = (dice: Dice): ReadonlyArray<Deed> =>
  Array.from({ length: dice.between(1, 4) }, () => dice.pick([...deeds, lateCancels])(dice))

/** Writes that are applied and whose answers are lost: what becomes of those is all that a retry can get wrong. */
export const lostAnswers: ReadonlyArray<Deed> = [
  ofMessage("cut before the answer to a write", Faults.cut(), { before: answerOf(insertOf), times: 20, chance: 0.5 })
]
