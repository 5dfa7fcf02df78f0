/**
 * One run at a time in a folder: a lock that a crash leaves, and that stops nobody then.
 *
 *     put a file `lock.PID-RANDOM` there -> look for others -> none: the folder is ours
 *                                             | of a process that is gone: removed, as if it were not there
 *                                             +-- of one that runs, or of another host: ours is removed, and refused
 *
 * - Each looks after it has shown itself: of two at once at least one sees the other. Should both do, both give way and
 *   try again after a random time.
 * - No two files have one name, ever, so to remove one that is stale removes nothing else. (One name for all would have
 *   to be renamed away and looked at, and where that was another's by then, a third comes in before it is put back.)
 * - A process is who it was only with the same start time, on the same boot of the same host: its number alone may be
 *   another's by now. Where the system does not tell these (it is Linux that has /proc), the number decides.
 *
 * @internal
 */
import type { PlatformError, Scope } from "effect"
import { Effect, FileSystem, Option, Path, Random, Result, Schema } from "effect"
import { hostname } from "node:os"
import type { SinkError } from "../sink/SinkError.ts"
import * as SinkFile from "../sink/SinkFile.ts"
import { UsageError } from "./CliFailure.ts"
import { toLine } from "./TextValue.ts"

const Holder = Schema.Struct({
  pid: Schema.Int,
  host: Schema.String,
  /** Field 22 of /proc/PID/stat, in ticks since the boot. */
  startedAt: Schema.optional(Schema.String),
  boot: Schema.optional(Schema.String)
})

type Holder = typeof Holder.Type

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Holder))

const isLock = (name: string): boolean => /^lock\.\d+-[0-9a-f]+$/.test(name)

/** Of two that start at once one has begun its work by then. */
const mostTries = 5
const againMillis = 50

/**
 * Takes the lock of a folder, in `inside` of it, until the scope closes. Fails where another run has it, with what to do.
 *
 * @internal
 */
export const lock = Effect.fnUntraced(function* (
  folder: string,
  inside: string
): Effect.fn.Return<
  void,
  UsageError | SinkError | PlatformError.PlatformError,
  FileSystem.FileSystem | Path.Path | Scope.Scope
> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const boot = Option.getOrUndefined(yield* Effect.option(fs.readFileString("/proc/sys/kernel/random/boot_id")))?.trim()
  const startOf = Effect.fnUntraced(function* (pid: number) {
    const stat = yield* Effect.option(fs.readFileString(`/proc/${pid}/stat`))
    // The name of the program, in parentheses, may have anything in it.
    return Option.getOrUndefined(stat)?.split(")").at(-1)?.trim().split(" ")[19]
  })
  const own: Holder = { pid: process.pid, host: hostname(), startedAt: yield* startOf(process.pid), boot }
  const name = `lock.${process.pid}-${(yield* Random.nextIntBetween(0, 0xffffff)).toString(16)}`
  const file = path.join(inside, name)

  const isGone = Effect.fnUntraced(function* ({ boot: ofBoot, pid, startedAt }: Holder) {
    if (ofBoot !== boot || !isAlive(pid)) return true
    return startedAt !== undefined && startedAt !== (yield* startOf(pid))
  })

  /** Why another run has the folder, if one has. */
  const other = Effect.gen(function* () {
    for (const each of (yield* fs.readDirectory(inside)).filter((each) => isLock(each) && each !== name)) {
      const at = path.join(inside, each)
      const text = Option.getOrUndefined(yield* Effect.option(fs.readFileString(at)))
      // It was given back in this moment.
      if (text === undefined) continue
      const holder = decode(text)
      if (Result.isFailure(holder)) return `nobody knows whose lock ${toLine(at)} is. Remove it if no run is there`
      const { host, pid } = holder.success
      if (host !== own.host) {
        return `a run on ${toLine(host)} (process ${pid}) uses it. Wait for it, or remove ${toLine(at)} if it has ended`
      }
      if (!(yield* isGone(holder.success))) {
        return `another run (process ${pid}) uses it. Wait for it, or give another folder`
      }
      yield* Effect.ignore(fs.remove(at))
    }
    return undefined
  })

  const show = Effect.scoped(
    Effect.gen(function* () {
      const whole = yield* SinkFile.create(file)
      yield* whole.write(new TextEncoder().encode(JSON.stringify(own)))
      yield* whole.keep
    })
  )

  yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(file)))
  for (let tries = 1; ; tries++) {
    yield* show
    const why = yield* other
    if (why === undefined) return
    yield* fs.remove(file)
    if (tries === mostTries) {
      return yield* new UsageError({ message: `--out ${toLine(folder)} cannot be used: ${why}` })
    }
    yield* Effect.sleep(yield* Random.nextIntBetween(1, againMillis))
  }
})

/**
 * Whether there is a process of that number.
 *
 * @internal
 */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // It is there, and another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}
