/**
 * Where the server is and how to reach it: a connection URL and explicit settings become one endpoint, in libpq's way.
 *
 * @internal
 */
import { Option, Predicate, Redacted, Result } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { ConnectionOptions } from "node:tls"
import { parse } from "pg-connection-string"

/**
 * Whether and how the connection is encrypted: not at all, always, or where the server can.
 *
 * @internal
 */
export type Encryption =
  | { readonly mode: "disable" }
  | { readonly mode: "require" | "prefer"; readonly options: ConnectionOptions }

/** @internal */
export interface PgEndpoint {
  readonly host: string
  readonly port: number
  /** The socket's file, where the server is reached without TCP. */
  readonly path: string | undefined
  readonly database: string | undefined
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly encryption: Encryption
  readonly applicationName: string | undefined
  readonly startupOptions: string | undefined
  readonly connectTimeoutSeconds: number | undefined
}

/** @internal */
export interface Explicit {
  readonly url?: Redacted.Redacted | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly path?: string | undefined
  readonly ssl?: boolean | ConnectionOptions | undefined
  readonly database?: string | undefined
  readonly username?: string | undefined
}

const invalid = (message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "connect" }) })

/**
 * Explicit settings win over what the URL carries. No message repeats the URL: it may hold a password.
 *
 * @internal
 */
export const make = (explicit: Explicit): Result.Result<PgEndpoint, SqlError> => {
  const parsed = explicit.url === undefined ? Result.succeed(nothing) : fromUrl(Redacted.value(explicit.url))
  if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
  const url = parsed.success
  const host = explicit.host ?? url.host ?? "localhost"
  const port = explicit.port ?? url.port ?? 5432
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    return Result.fail(invalid("Expected a port from 1 to 65535"))
  }
  return Result.succeed({
    ...url,
    host,
    port,
    path: explicit.path ?? (host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : undefined),
    database: explicit.database ?? url.database,
    username: explicit.username ?? url.username,
    encryption: explicit.ssl === undefined ? url.encryption : encryptionOf(explicit.ssl)
  })
}

type UrlPart = Omit<PgEndpoint, "host" | "port" | "path"> & {
  readonly host: string | undefined
  readonly port: number | undefined
}

const nothing: UrlPart = {
  host: undefined,
  port: undefined,
  database: undefined,
  username: undefined,
  password: undefined,
  encryption: { mode: "disable" },
  applicationName: undefined,
  startupOptions: undefined,
  connectTimeoutSeconds: undefined
}

const fromUrl = (raw: string): Result.Result<UrlPart, SqlError> => {
  let url: URL
  try {
    url = new URL(raw)
  } catch {
    return Result.fail(invalid("The connection URL is not a URL. Expected postgres://user:password@host:port/database"))
  }
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    return Result.fail(
      invalid(`Expected a connection URL that starts with postgres:// or postgresql://, got ${url.protocol}//`)
    )
  }
  // `postgres:/me:secret@host/db` would be a database of that name, which errors and spans tell of.
  if (!url.href.startsWith(`${url.protocol}//`)) {
    return Result.fail(invalid("Expected a connection URL that starts with postgres:// or postgresql://"))
  }
  const sslmode = url.searchParams.get("sslmode")
  if (sslmode !== null && !sslmodes.has(sslmode)) {
    return Result.fail(invalid(`Expected sslmode to be one of ${[...sslmodes].join(", ")}`))
  }
  const seconds = url.searchParams.get("connect_timeout")
  if (seconds !== null && !/^\d+$/.test(seconds)) {
    return Result.fail(invalid("Expected connect_timeout to be a number of seconds"))
  }
  // pg-connection-string does not know `allow`, which asks for TLS only where the server insists on it.
  if (sslmode === "allow") url.searchParams.set("sslmode", "prefer")
  let options: ReturnType<typeof parse>
  try {
    options = parse(url.toString(), { useLibpqCompat: true })
  } catch (cause) {
    // Its messages speak of files and modes; those of URL parsing, which might repeat the URL, cannot occur any more.
    return Result.fail(
      invalid(`The connection URL cannot be used: ${cause instanceof Error ? cause.message : "unknown"}`)
    )
  }
  const port = options.port === undefined || options.port === null || options.port === "" ? undefined : options.port
  return Result.succeed({
    host: options.host === null || options.host === "" ? undefined : options.host,
    port: port === undefined ? undefined : Number(port),
    // The parser does not know libpq's own word for it in the query, which wins there, and leaves `%40` in the path.
    database: nonEmpty(url.searchParams.get("dbname") ?? decoded(url.pathname.slice(1))),
    username: nonEmpty(options.user),
    password: Option.getOrUndefined(
      Option.map(Option.fromUndefinedOr(nonEmpty(options.password)), (password) => Redacted.make(password))
    ),
    encryption:
      sslmode === "prefer" || sslmode === "allow" ? optional(encryptionOf(options.ssl)) : encryptionOf(options.ssl),
    applicationName: nonEmpty(options.application_name),
    startupOptions: nonEmpty(url.searchParams.get("options") ?? undefined),
    connectTimeoutSeconds: seconds === null || seconds === "0" ? undefined : Number(seconds)
  })
}

const nonEmpty = (value: string | undefined): string | undefined => (value === "" ? undefined : value)

const encryptionOf = (ssl: boolean | string | object | undefined): Encryption => {
  if (ssl === undefined || ssl === false || ssl === "") return { mode: "disable" }
  return { mode: "require", options: Predicate.isObject(ssl) ? ssl : {} }
}

const optional = (encryption: Encryption): Encryption =>
  encryption.mode === "disable" ? encryption : { mode: "prefer", options: encryption.options }

/** As it is where it is no proper encoding: the server will say that it knows no such database. */
const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const sslmodes = new Set(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
