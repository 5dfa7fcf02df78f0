/**
 * A text in a file that several processes change: it is whole at every moment, and no change is lost.
 *
 *     make the folder `<file>.lock` -> read the file -> write a new one in there -> rename it -> remove the folder
 *
 * - One at a time changes it: of all who make a folder of one name one succeeds, on any file system. The others try
 *   again until it is gone.
 * - Who ends in the middle leaves the folder. After a second it is nobody's, and the next one removes it, with whatever
 *   was written there.
 * - Who was stopped in the middle for longer than that, and goes on, finds what it wrote gone and fails, or loses the
 *   change of another. Neither damages the file.
 *
 * @internal
 */
import type { PlatformError } from "effect"
import { Clock, Effect, FileSystem, Option, Path } from "effect"

type Failure = PlatformError.PlatformError

/** @internal */
export interface SharedFile {
  /** `undefined` where there is no file. */
  readonly read: Effect.Effect<string | undefined, Failure>
  /** Puts what `change` makes of it in its place. The folder is made if it is not there. */
  readonly update: (change: (text: string | undefined) => Effect.Effect<string>) => Effect.Effect<void, Failure>
}

/** A change takes 10 to 50 ms. */
const abandonedMillis = 1_000
const againMillis = 5

/** What somebody's programs remember is nobody else's business. */
const forUs = 0o600

const has = (tag: Failure["reason"]["_tag"]) => (error: Failure) => error.reason._tag === tag

/** @internal */
export const sharedFile = Effect.fnUntraced(function* (
  folder: string,
  name: string
): Effect.fn.Return<SharedFile, never, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(folder, name)
  const lock = `${file}.lock`

  const read = Effect.catchIf(fs.readFileString(file), has("NotFound"), () => Effect.undefined)

  const isAbandoned = Effect.gen(function* () {
    const { mtime } = yield* fs.stat(lock)
    const now = yield* Clock.currentTimeMillis
    // Either way: a clock that was put back must not keep everybody waiting until it has caught up.
    return Option.exists(mtime, (made) => Math.abs(now - made.getTime()) > abandonedMillis)
  }).pipe(Effect.catchIf(has("NotFound"), () => Effect.succeed(false)))

  const takenAway = Effect.flatMap(isAbandoned, (isAbandoned) =>
    isAbandoned ? fs.remove(lock, { recursive: true, force: true }) : Effect.sleep(againMillis)
  )

  const alone = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | Failure> =>
    Effect.uninterruptibleMask((restore) => {
      const take: Effect.Effect<void, Failure> = Effect.catchIf(fs.makeDirectory(lock), has("AlreadyExists"), () =>
        Effect.andThen(restore(takenAway), take)
      )
      const release = Effect.ignore(fs.remove(lock, { recursive: true, force: true }))
      return Effect.andThen(take, Effect.ensuring(restore(work), release))
    })

  const update: SharedFile["update"] = (change) => {
    const beside = path.join(lock, name)
    const replaced = Effect.flatMap(Effect.flatMap(read, change), (text) =>
      Effect.andThen(fs.writeFileString(beside, text, { mode: forUs }), fs.rename(beside, file))
    )
    return Effect.andThen(fs.makeDirectory(folder, { recursive: true }), alone(replaced))
  }

  return { read, update }
})
