/**
 * The bytes of a file that are ready to be written, in chunks of about 256 KiB.
 *
 * A format writes at `bytes[at]`, after it has reserved the most that it may need: one check a row instead of one a
 * byte. A chunk that was taken is the caller's, and a new one takes its place.
 *
 * @internal
 */

/** Large enough that a write's own cost (some 20 µs) is nothing, and small enough to be in the processor's cache. */
const chunkBytes = 256 * 1024
/** Rows that nearly all fit behind a chunk that is almost full, so that a chunk does not end before its time. */
const marginBytes = 32 * 1024

/** @internal */
export class Output {
  bytes: Buffer = Buffer.allocUnsafeSlow(chunkBytes + marginBytes)
  at = 0
  private full: Array<Uint8Array> = []

  /** Makes room for so many bytes at `bytes[at]`, which may become another buffer. */
  reserve(count: number): void {
    if (this.at + count <= this.bytes.length) return
    this.close(Math.max(count, chunkBytes + marginBytes))
  }

  /** Room is reserved for it. */
  append(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
  }

  take(): ReadonlyArray<Uint8Array> {
    if (this.at >= chunkBytes) this.close(chunkBytes + marginBytes)
    return this.full.length === 0 ? nothing : this.taken()
  }

  end(): ReadonlyArray<Uint8Array> {
    this.close(0)
    return this.taken()
  }

  private taken(): ReadonlyArray<Uint8Array> {
    const { full } = this
    this.full = []
    return full
  }

  private close(next: number): void {
    if (this.at > 0) this.full.push(this.bytes.subarray(0, this.at))
    this.bytes = Buffer.allocUnsafeSlow(next)
    this.at = 0
  }
}

const nothing: ReadonlyArray<Uint8Array> = []
