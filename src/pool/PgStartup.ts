/**
 * The settings that the pool wants each of its sessions to have, and how this server takes them.
 *
 * - `client_connection_check_interval`: a backend whose client is gone, by a crash or a dead network, notices it during
 *   its statement and stops. Without it, a statement goes on to its end (PostgreSQL's manual, "TCP Settings").
 * - `idle_in_transaction_session_timeout`: a transaction that was forgotten does not hold its locks for ever.
 *
 * They travel in the startup message, where RESET ALL leads back to them. Poolers refuse what they do not know there,
 * older servers do not know all, and some platforms refuse a value. Then the pool connects without them, from then on at
 * once, and sets what the server knows by a statement: that has to be repeated after each reset of the session.
 *
 * What the user's own startup parameters or options name is the user's.
 *
 * @internal
 */
import type { PgConnection } from "@effect/sql-pg"
import { Duration, Effect, Predicate } from "effect"
import type { SqlError } from "effect/sql/SqlError"

/** A backend that works for nobody is to be found soon; each look costs it a poll of its socket. */
const checkInterval = "500ms"

/**
 * By these a server or a pooler refuses a parameter of the startup message: unsupported by the pooler, unknown, refused
 * on this platform, not implemented.
 */
const refusals = new Set(["08P01", "42704", "22023", "0A000"])

const applyKnown = `select pg_catalog.set_config(wanted.name, wanted.value, false)
  from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as wanted (name, value)
  join pg_catalog.pg_settings as known on known.name = wanted.name`

const sqlStateOf = (error: SqlError): unknown => {
  const { cause } = error.reason
  return Predicate.hasProperty(cause, "code") ? cause.code : undefined
}

/** @internal */
export type Driver = Omit<PgConnection.Config, "stream">

/** @internal */
export class PgStartup {
  private readonly plain: Driver
  /** As names and values; what the server has refused is taken out. */
  private wanted: ReadonlyArray<readonly [name: string, value: string]>
  private inMessage = true
  /** Each was set once by itself, so that one that is refused does not take the others with it. */
  private triedEach = false

  constructor(
    driver: Driver,
    options: {
      /** Zero for the server's own default. */
      readonly idleInTransactionTimeout: Duration.Duration
    }
  ) {
    this.plain = driver
    const taken = new Set(Object.keys(driver.startupParameters ?? {}).map((name) => name.toLowerCase()))
    const idleMillis = Math.ceil(Duration.toMillis(options.idleInTransactionTimeout))
    const all: ReadonlyArray<readonly [string, string]> = [
      ["client_connection_check_interval", checkInterval],
      // Infinity has no number in the server's terms, and the server's zero means the same.
      ["idle_in_transaction_session_timeout", Number.isFinite(idleMillis) ? `${idleMillis}ms` : "0"]
    ]
    this.wanted = all.filter(([name]) => !taken.has(name) && driver.startupOptions?.includes(name) !== true)
  }

  /** What the driver is to connect with. */
  get driver(): Driver {
    if (!this.inMessage || this.wanted.length === 0) return this.plain
    return { ...this.plain, startupParameters: { ...Object.fromEntries(this.wanted), ...this.plain.startupParameters } }
  }

  /** What to try in place of it after this error, if anything. */
  insteadAfter(error: SqlError, tried: Driver): Driver | undefined {
    return tried !== this.plain && refusals.has(String(sqlStateOf(error))) ? this.plain : undefined
  }

  /** A connection with nothing in the startup message has been let in where one with the settings was refused. */
  leaveOut(): void {
    this.inMessage = false
  }

  /** Sets on a session what could not be set at its start, if anything: anew after each RESET ALL. */
  apply(pg: PgConnection.PgConnection): Effect.Effect<void, SqlError> | undefined {
    if (this.inMessage || this.wanted.length === 0) return undefined
    return this.triedEach ? this.set(pg, this.wanted) : this.setEach(pg)
  }

  private set(pg: PgConnection.PgConnection, settings: typeof this.wanted): Effect.Effect<void, SqlError> {
    const names = settings.map(([name]) => name)
    const values = settings.map(([, value]) => value)
    return Effect.asVoid(pg.query(applyKnown, [names, values], false))
  }

  private setEach(pg: PgConnection.PgConnection): Effect.Effect<void> {
    const refused = new Set<string>()
    const each = Effect.forEach(this.wanted, (setting) =>
      Effect.catch(this.set(pg, [setting]), (error) =>
        Effect.sync(() => {
          // An error without SQLSTATE is one of the connection, and says nothing of the setting.
          if (sqlStateOf(error) !== undefined) refused.add(setting[0])
        })
      )
    )
    return Effect.andThen(
      each,
      Effect.sync(() => {
        this.wanted = this.wanted.filter(([name]) => !refused.has(name))
        this.triedEach = true
      })
    )
  }
}
