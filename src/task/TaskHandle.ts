/**
 * A task that has been offered: how it ends, how it is, and what it reports.
 *
 * A handle is no more than an id with the task's types. It holds nothing: whoever has the id can make it again.
 *
 * @since 0.1.0
 */
import type { Exit } from "effect"
import { Clock, Effect, Option, Stream } from "effect"
import * as TaskEnd from "./TaskEnd.ts"
import { NotFound, TaskError } from "./TaskError.ts"
import type { TaskState } from "./TaskState.ts"
import { isEnded } from "./TaskState.ts"
import type { Json, Stored, TaskId, TaskStore } from "./TaskStore.ts"

/**
 * A task that has been offered.
 *
 * @since 0.1.0
 */
export interface TaskHandle<out A, out E = never, out G = Json> {
  readonly id: TaskId
  /** Waits for its end: its value or error, or why there is none (`TaskError`). `yield* yield* handle.await` fails with it. */
  readonly await: Effect.Effect<Exit.Exit<A, E | TaskError>>
  readonly status: Effect.Effect<TaskState, TaskError>
  /** Gives whether it had not ended. A handler that runs is interrupted, and its SQL on the server with it. */
  readonly cancel: Effect.Effect<boolean, TaskError>
  /** What its handler reports, the latest first, until it has ended. Of what comes quickly, only the latest. */
  readonly progress: Stream.Stream<G, TaskError>
}

/**
 * A task as it was enqueued.
 *
 * @since 0.1.0
 */
export interface Enqueued<out A, out E = never, out G = Json> extends TaskHandle<A, E, G> {
  /**
   * Whether there is a new task. If not, it is the one with the same unique key that had not ended, with its own payload
   * and its own time. In a transaction, that is what was known when it was enqueued.
   */
  readonly isNew: boolean
}

/** Made by the thousand, and seldom asked for more than one thing: each is put together when it is asked for. */
class Handle<A, E, G> implements TaskHandle<A, E, G> {
  readonly id: TaskId
  private readonly store: TaskStore["Service"]
  private readonly task: TaskEnd.Watchable<A, E, G>

  constructor(store: TaskStore["Service"], task: TaskEnd.Watchable<A, E, G>, id: TaskId) {
    this.id = id
    this.store = store
    this.task = task
  }

  get await(): TaskHandle<A, E, G>["await"] {
    const { id, looks, task } = this
    const ended = looks.pipe(
      Stream.filter(({ state }) => isEnded(state)),
      Stream.runHead
    )
    return Effect.exit(Effect.flatMap(ended, (last) => TaskEnd.read(task, TaskEnd.of(id, Option.getOrUndefined(last)))))
  }

  get status(): TaskHandle<A, E, G>["status"] {
    return Effect.map(this.look, ({ state }) => state)
  }

  get cancel(): TaskHandle<A, E, G>["cancel"] {
    const { id, store } = this
    return Effect.flatMap(Clock.currentTimeMillis, (at) => Effect.map(store.cancel([id], at), (ids) => ids.length > 0))
  }

  get progress(): TaskHandle<A, E, G>["progress"] {
    const { looks, task } = this
    return looks.pipe(
      Stream.takeUntil(({ state }) => isEnded(state)),
      Stream.map(({ progress }) => progress),
      Stream.filter((progress) => progress !== undefined),
      Stream.changes,
      Stream.mapEffect((progress) => TaskEnd.decoded(task, task.progress, "progress", progress))
    )
  }

  private get look(): Effect.Effect<Stored, TaskError> {
    const { id, store, task } = this
    return Effect.flatMap(store.get([id]), ([stored]) =>
      stored === undefined
        ? Effect.fail(new TaskError({ task: task.name, reason: new NotFound({ id }) }))
        : Effect.succeed(stored)
    )
  }

  private get looks(): Stream.Stream<Stored, TaskError> {
    const { look } = this
    return Stream.mapEffect(this.store.watch([this.id]), () => look)
  }
}

class EnqueuedHandle<A, E, G> extends Handle<A, E, G> implements Enqueued<A, E, G> {
  readonly isNew: boolean

  constructor(store: TaskStore["Service"], task: TaskEnd.Watchable<A, E, G>, id: TaskId, isNew: boolean) {
    super(store, task, id)
    this.isNew = isNew
  }
}

/** @internal */
export const make = <A, E, G>(
  store: TaskStore["Service"],
  task: TaskEnd.Watchable<A, E, G>,
  id: TaskId
): TaskHandle<A, E, G> => new Handle(store, task, id)

/** @internal */
export const enqueued = <A, E, G>(
  store: TaskStore["Service"],
  task: TaskEnd.Watchable<A, E, G>,
  id: TaskId,
  isNew: boolean
): Enqueued<A, E, G> => new EnqueuedHandle(store, task, id, isNew)
