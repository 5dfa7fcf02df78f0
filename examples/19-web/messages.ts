// Where messages are kept.
import { Effect, Schema } from "effect"
import { Query } from "querypool"
import type { Contact } from "./tasks.ts"

export const createTable = Query.make(
  "create table",
  (sql) => sql`create table if not exists web_message (
    id text primary key, name text not null, email text not null, text text not null,
    received_at timestamptz not null default now(), sent_at timestamptz
  )`
)

/** Keeps a message under its task's id, once. Gives whether its mail was sent before. */
export const keep = (id: string, { email, name, text }: typeof Contact.Type) =>
  Effect.map(
    Query.findOne(
      {
        name: "keep message",
        schema: Schema.Struct({ isSent: Schema.Boolean }),
        statement: (
          sql
        ) => sql`insert into web_message (id, name, email, text) values (${id}, ${name}, ${email}, ${text})
          on conflict (id) do update set name = excluded.name returning sent_at is not null as "isSent"`
      },
      { idempotent: true }
    ),
    ({ isSent }) => isSent
  )

export const markSent = (id: string) =>
  Query.make("mark message", (sql) => sql`update web_message set sent_at = now() where id = ${id}`, {
    idempotent: true
  })
