import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { promisify } from "node:util"
import { ConnectFailed, QueryError } from "../../src/query/QueryError.ts"
import { Run, told } from "../../src/query/Run.ts"
import { takeFindings } from "../support/secrets.ts"

const password = randomBytes(12).toString("base64url")
const url = Redacted.make(`postgres://me:${password}@127.0.0.1/db`)

const reason = (message: string) => new ConnectFailed({ message })
const failure = (message: string) =>
  new QueryError({ query: "q", reason: reason(message), connection: "gone", outcome: "notApplied" })

/** What each way of letting a password out is found as. */
const ways: Readonly<Record<string, readonly [leak: (secret: string) => unknown, place: string]>> = {
  "standard output": [(secret) => process.stdout.write(`planted: ${secret}\n`), "stdout"],
  "the console": [(secret) => globalThis.console.error("planted:", { secret }), "the console"],
  "a log line": [(secret) => Effect.runPromise(Effect.logInfo("planted", { secret })), "a Info line of the log"],
  "a QueryError": [failure, "a QueryError"],
  "an SqlError's cause": [
    (secret) => new SqlError({ reason: new ConnectionError({ cause: { config: { url: secret } }, message: "m" }) }),
    "an SqlError"
  ],
  "a span's attribute": [
    (secret) => Effect.runPromise(Effect.withSpan(Effect.void, "s", { attributes: { secret } })),
    "a span"
  ],
  "a span's failure": [
    (secret) => Effect.runPromiseExit(Effect.withSpan(Effect.fail(secret), "s")),
    "a span's failure"
  ],
  "an event": [
    (secret) =>
      Effect.runPromise(
        Effect.clockWith((clock) => {
          const nobody = { queueMillis: undefined, deadlineMillis: undefined }
          const run = new Run({ concurrency: 1, workers: 1, clock, onEvent: () => {}, ...nobody })
          return told(run, { name: secret, options: {} }, () => Effect.void)
        })
      ),
    "an event"
  ],
  "a process": [
    (secret) => promisify(execFile)("/bin/sh", ["-c", "cat >&2 <<EOF\n$PASSWORD\nEOF"], { env: { PASSWORD: secret } }),
    "stderr of a process"
  ],
  "a process's arguments": [
    (secret) => promisify(execFile)("/bin/sh", ["-c", "true", secret]),
    "the arguments of a process"
  ]
}

describe("a password", () => {
  it.each(Object.keys(ways))("that is let out by %s is found", async (way) => {
    const [leak, place] = ways[way] ?? assert.fail(way)
    await leak("nothing to hide")
    assert.deepStrictEqual(takeFindings(), [])
    await leak(password)
    const found = takeFindings()
    assert.isTrue(found.some((finding) => finding.startsWith(`${place}: `)))
    assert.notInclude(found.join("\n"), password)
  })

  it("is known from a URL, encoded and decoded, and from a parameter", async () => {
    Redacted.make("postgres://me:p%C3%A4ssw%C3%B6rt@h/db")
    Redacted.make("postgres://h/db?password=in-the-query")
    for (const secret of ["p%C3%A4ssw%C3%B6rt", "pässwört", "in-the-query"]) {
      failure(secret)
      await Promise.resolve()
      assert.lengthOf(takeFindings(), 1)
    }
  })

  it("that is only Redacted is not found", async () => {
    await Effect.runPromise(Effect.logInfo(url, { url }))
    await Effect.runPromise(Effect.withSpan(Effect.void, "s", { attributes: { url } }))
    const error = new SqlError({ reason: new ConnectionError({ cause: { url }, message: "m" }) })
    assert.isTrue(Exit.isFailure(await Effect.runPromiseExit(Effect.fail(error))))
    assert.deepStrictEqual(takeFindings(), [])
  })
})
