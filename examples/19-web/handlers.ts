// What runs the tasks.
import { Effect, Layer, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Task, TaskSchedule } from "querypool/task"
import { Mail } from "./mail.ts"
import * as Messages from "./messages.ts"
import { cleanUp, sendMessage } from "./tasks.ts"

const SendMessage = Task.toLayer(
  sendMessage,
  Effect.fnUntraced(function* (contact, { id }) {
    if (yield* Messages.keep(id, contact)) return
    const { send } = yield* Mail
    const mail = {
      messageId: `<${id}@contact.example>`,
      replyTo: contact.email,
      subject: `Message from ${contact.name}`,
      text: contact.text
    }
    // A mail that has begun is not broken off: nobody would know whether it was sent.
    yield* Effect.uninterruptible(Effect.andThen(send(mail), Messages.markSent(id)))
  })
)

const chunk = 1000

// In small steps, so that no lock is held for long, each told to whoever watches.
const CleanUp = Task.toLayer(
  cleanUp,
  Effect.fnUntraced(function* ({ olderThanDays }, { report, sql }) {
    const old = sql`received_at < now() - make_interval(days => ${olderThanDays})`
    const count = SqlSchema.findOne({
      Request: Schema.Void,
      Result: Schema.Struct({ count: Schema.Int }),
      execute: () => sql`select count(*)::int as count from web_message where ${old}`
    })
    const { count: of } = yield* Effect.orDie(count(undefined))
    let deleted = 0
    yield* report({ deleted, of })
    while (deleted < of) {
      const gone = yield* sql`delete from web_message
        where id in (select id from web_message where ${old} limit ${chunk}) returning id`
      if (gone.length === 0) break
      deleted += gone.length
      yield* report({ deleted, of })
    }
    return deleted
  })
)

const EveryNight = (cron: string) =>
  TaskSchedule.cron("clean-up", cleanUp, { olderThanDays: 30 }, { cron, timeZone: "Europe/Berlin" })

export const layer = (options: { readonly cleanUp: string }) =>
  Layer.mergeAll(SendMessage, CleanUp, EveryNight(options.cleanUp))
