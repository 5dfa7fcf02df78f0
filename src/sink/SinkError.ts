/**
 * Why rows could not be kept: one error, `SinkError`, with closed, tagged reasons.
 *
 * What the server refuses is a `QueryError`, as everywhere. A `SinkError` is about the place the rows go to, or about
 * the format they are to have; when it comes, nothing of the file is left.
 *
 * The message is one line: what could not be done, where, and what to try.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The disk has no room for the file, or the quota has none (`ENOSPC`, `EDQUOT`).
 *
 * @since 0.1.0
 */
export class DiskFull extends Schema.TaggedError<DiskFull>("querypool/sink/SinkError/DiskFull")("DiskFull", {
  /** How much was written by then. */
  bytes: Schema.Int
}) {
  override get message(): string {
    return `no space is left after ${this.bytes} bytes: free some, or choose another disk`
  }
}

/**
 * The folder may not be written to (`EACCES`, `EPERM`, `EROFS`).
 *
 * @since 0.1.0
 */
export class NotWritable extends Schema.TaggedError<NotWritable>("querypool/sink/SinkError/NotWritable")(
  "NotWritable",
  {
    /** The operating system's name for it, such as `EACCES`. */
    code: Schema.String
  }
) {
  override get message(): string {
    return this.code === "EROFS"
      ? "the file system is read-only: choose another folder"
      : "the folder may not be written to: change its rights, or choose another"
  }
}

/**
 * There is no folder to put the file into (`ENOENT`, `ENOTDIR`).
 *
 * @since 0.1.0
 */
export class NoFolder extends Schema.TaggedError<NoFolder>("querypool/sink/SinkError/NoFolder")("NoFolder", {
  folder: Schema.String
}) {
  override get message(): string {
    return `there is no folder ${this.folder}: create it first`
  }
}

/**
 * Where the file is to be, there is something that is no file, such as a folder or a device.
 *
 * @since 0.1.0
 */
export class NotAFile extends Schema.TaggedError<NotAFile>("querypool/sink/SinkError/NotAFile")("NotAFile", {
  is: Schema.Literals(["folder", "other"])
}) {
  override get message(): string {
    return this.is === "folder"
      ? "that is a folder: name a file in it"
      : "that is no file, and would be replaced by one: choose another name"
  }
}

/**
 * The operating system refused in another way.
 *
 * @since 0.1.0
 */
export class WriteFailed extends Schema.TaggedError<WriteFailed>("querypool/sink/SinkError/WriteFailed")(
  "WriteFailed",
  {
    /** The operating system's name for it, such as `EIO`, if there is one. */
    code: Schema.optional(Schema.String),
    message: Schema.String
  }
) {}

/**
 * A value cannot be written in the format.
 *
 * @since 0.1.0
 */
export class NotEncodable extends Schema.TaggedError<NotEncodable>("querypool/sink/SinkError/NotEncodable")(
  "NotEncodable",
  {
    /** Which column, why, and what to do: not the value, which may be nobody's business. */
    message: Schema.String
  }
) {}

/**
 * The statement gives no rows, so that there is nothing to make a file of. It has been carried out.
 *
 * @since 0.1.0
 */
export class NoResult extends Schema.TaggedError<NoResult>("querypool/sink/SinkError/NoResult")("NoResult", {}) {
  override get message(): string {
    return "the statement gives no rows: use a select, or a returning"
  }
}

/**
 * The format needs a package that is not installed.
 *
 * @since 0.1.0
 */
export class PackageMissing extends Schema.TaggedError<PackageMissing>("querypool/sink/SinkError/PackageMissing")(
  "PackageMissing",
  { format: Schema.String, package: Schema.String }
) {
  override get message(): string {
    return `the format ${this.format} needs the package ${this.package}: npm install ${this.package}`
  }
}

/**
 * Every reason a sink can fail for.
 *
 * @since 0.1.0
 */
export const SinkErrorReason = Schema.Union([
  DiskFull,
  NotWritable,
  NoFolder,
  NotAFile,
  WriteFailed,
  NotEncodable,
  NoResult,
  PackageMissing
])

/**
 * Every reason a sink can fail for.
 *
 * @since 0.1.0
 */
export type SinkErrorReason = typeof SinkErrorReason.Type

/**
 * Rows could not be kept: where, and why.
 *
 * @since 0.1.0
 */
export class SinkError extends Schema.TaggedError<SinkError>("querypool/sink/SinkError")("SinkError", {
  /** Where the rows were to go, if it is known by then: a format alone does not know it. */
  path: Schema.optional(Schema.String),
  reason: SinkErrorReason
}) {
  override get message(): string {
    return this.path === undefined
      ? `Cannot write the rows: ${this.reason.message}`
      : `Cannot write ${this.path}: ${this.reason.message}`
  }
}
