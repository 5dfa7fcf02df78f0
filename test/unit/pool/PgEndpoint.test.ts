import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import { inspect } from "node:util"
import type { PgEndpoint } from "../../../src/pool/PgEndpoint.ts"
import { make } from "../../../src/pool/PgEndpoint.ts"

const ofUrl = (url: string) => make({ url: Redacted.make(url) })

const password = "s3cret-pass/w:rd@?#é"
const encoded = encodeURIComponent(password)

interface Good {
  readonly url: string
  readonly is: Partial<Omit<PgEndpoint, "password">> & { readonly password?: string | undefined }
}

const good: ReadonlyArray<Good> = [
  {
    url: `postgres://me:${encoded}@db.example:6543/shop`,
    is: { host: "db.example", port: 6543, database: "shop", username: "me", password, path: undefined }
  },
  { url: "postgresql://db.example", is: { host: "db.example", port: 5432, database: undefined, username: undefined } },
  { url: "postgres://me@db.example/a%20b", is: { username: "me", password: undefined, database: "a b" } },
  { url: "postgres://u%40corp:x@h/d", is: { username: "u@corp" } },
  { url: "postgres:///shop", is: { host: "localhost", database: "shop" } },
  { url: "postgres://[::1]:5433/d", is: { host: "::1", port: 5433 } },
  { url: "postgres://me@%2Fvar%2Frun%2Fpg/d", is: { path: "/var/run/pg/.s.PGSQL.5432", database: "d" } },
  { url: "postgres:///d?host=/tmp&port=5433", is: { path: "/tmp/.s.PGSQL.5433", port: 5433, database: "d" } },
  { url: `postgres://h/d?user=me&password=${encoded}`, is: { username: "me", password } },
  { url: "postgres://me:50%off@h/d", is: { password: "50%off" } },
  { url: "postgres://h/?dbname=shop", is: { database: "shop" } },
  { url: "postgres://h/d?application_name=x%20y", is: { applicationName: "x y" } },
  { url: "postgres://h/d?options=-c%20geqo%3Doff", is: { startupOptions: "-c geqo=off" } },
  { url: "postgres://h/d?connect_timeout=3", is: { connectTimeoutSeconds: 3 } },
  { url: "postgres://h/d?connect_timeout=0", is: { connectTimeoutSeconds: undefined } },
  { url: "postgres://h/d", is: { encryption: { mode: "disable" } } },
  { url: "postgres://h/d?sslmode=disable", is: { encryption: { mode: "disable" } } },
  {
    url: "postgres://h/d?sslmode=allow",
    is: { encryption: { mode: "prefer", options: { rejectUnauthorized: false } } }
  },
  {
    url: "postgres://h/d?sslmode=prefer",
    is: { encryption: { mode: "prefer", options: { rejectUnauthorized: false } } }
  },
  {
    url: "postgres://h/d?sslmode=require",
    is: { encryption: { mode: "require", options: { rejectUnauthorized: false } } }
  },
  { url: "postgres://h/d?sslmode=verify-full", is: { encryption: { mode: "require", options: {} } } }
]

const bad: ReadonlyArray<readonly [url: string, message: RegExp]> = [
  [`me:${password}`, /not a URL|starts with postgres/],
  [password, /The connection URL is not a URL/],
  [`postgres//me:${encoded}@h/d`, /The connection URL is not a URL/],
  [`postgres://me:${encoded}@h:99999/d`, /The connection URL is not a URL/],
  [`postgres://me:${encoded}@h:0/d`, /Expected a port from 1 to 65535/],
  [`postgres://me:${encoded}@h:5432:5433/d`, /The connection URL is not a URL/],
  [`postgres://me:${encoded}@h/d?port=x`, /Expected a port from 1 to 65535/],
  [`mysql://me:${encoded}@h/d`, /starts with postgres:\/\/ or postgresql:\/\/, got mysql:\/\//],
  [`postgres://me:${encoded}@h/d?sslmode=yes`, /Expected sslmode to be one of disable, allow, .*/],
  [`postgres://me:${encoded}@h/d?connect_timeout=soon`, /Expected connect_timeout to be a number of seconds/],
  [`postgres://me:${encoded}@h/d?sslmode=verify-full&sslrootcert=/nowhere.pem`, /cannot be used: .*nowhere\.pem/],
  [`postgres://me:${encoded}@h/d?sslmode=verify-ca`, /cannot be used/],
  [`postgres://me:${encoded}@h/%E0%A4%A`, /cannot be used/]
]

describe("PgEndpoint", () => {
  it.each(good)("reads $url", ({ is, url }) => {
    const { password: redacted, ...endpoint } = Result.getOrThrow(ofUrl(url))
    const { password: expected, ...rest } = is
    assert.deepInclude(JSON.parse(JSON.stringify(endpoint)), JSON.parse(JSON.stringify(rest)))
    for (const [key, value] of Object.entries(rest))
      if (value === undefined) assert.isUndefined(Reflect.get(endpoint, key))
    if ("password" in is) assert.strictEqual(redacted === undefined ? undefined : Redacted.value(redacted), expected)
  })

  it.each(bad)("refuses %s without repeating the password", (url, message) => {
    const result = ofUrl(url)
    assert.isTrue(Result.isFailure(result), "it was accepted")
    if (!Result.isFailure(result)) return
    assert.match(result.failure.reason.message ?? "", message)
    const said = [
      result.failure.message,
      String(result.failure),
      JSON.stringify(result.failure),
      inspect(result.failure, { depth: 20 })
    ]
    for (const text of said) for (const secret of [password, encoded, "s3cret"]) assert.notInclude(text, secret)
  })

  it("never shows the password of a good URL", () => {
    const endpoint = Result.getOrThrow(ofUrl(`postgres://me:${encoded}@h/d`))
    for (const text of [JSON.stringify(endpoint), inspect(endpoint, { depth: 20 })]) assert.notInclude(text, "s3cret")
  })

  it("lets explicit settings win over the URL", () => {
    const url = Redacted.make("postgres://me:x@h:1/d?sslmode=require")
    const endpoint = Result.getOrThrow(
      make({ url, host: "other", port: 2, database: "e", username: "you", ssl: false })
    )
    assert.deepInclude(endpoint, { host: "other", port: 2, database: "e", username: "you" })
    assert.deepStrictEqual(endpoint.encryption, { mode: "disable" })
    assert.strictEqual(Result.getOrThrow(make({ url, path: "/tmp/x" })).path, "/tmp/x")
    const ca = "certificate"
    assert.deepStrictEqual(Result.getOrThrow(make({ url, ssl: { ca } })).encryption, {
      mode: "require",
      options: { ca }
    })
    assert.deepStrictEqual(Result.getOrThrow(make({ url, ssl: true })).encryption, { mode: "require", options: {} })
  })

  it("expects the server of this machine where nothing is said", () => {
    assert.deepInclude(Result.getOrThrow(make({})), { host: "localhost", port: 5432, path: undefined })
  })

  it.each([0, -1, 1.5, 65_536, Number.NaN])("refuses the port %d", (port) => {
    const result = make({ port })
    assert.isTrue(Result.isFailure(result))
  })
})
