import { Effect, Layer, Stream } from "effect"
import { StoreFailed, TaskError } from "../../../src/task/TaskError.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"

type Store = TaskStore["Service"]
type Operation = Exclude<keyof Store, "watch">

const failure = new TaskError({ reason: new StoreFailed({ message: "no connection" }) })

/** A store in memory of which operations can be switched off and on, and that counts how often each is asked for. */
export const outage = () => {
  const failing = new Set<keyof Store>()
  const hanging = new Set<keyof Store>()
  const asked = new Map<keyof Store, number>()
  const around = <A>(name: Operation, operation: Effect.Effect<A, TaskError>): Effect.Effect<A, TaskError> =>
    Effect.suspend(() => {
      asked.set(name, (asked.get(name) ?? 0) + 1)
      if (hanging.has(name)) return Effect.never
      return failing.has(name) ? Effect.fail(failure) : operation
    })
  const wrapped = (store: Store): Store => {
    const operations = Object.entries(store).map(([name, operation]) => [
      name,
      (...args: ReadonlyArray<unknown>) => around(name as Operation, Reflect.apply(operation, store, args))
    ])
    return {
      ...(Object.fromEntries(operations) as Store),
      watch: (ids) =>
        Stream.mapEffect(store.watch(ids), (change) =>
          Effect.suspend(() => (failing.has("watch") ? Effect.fail(failure) : Effect.succeed(change)))
        )
    }
  }
  const store = Layer.effect(TaskStore, Effect.map(TaskStore, wrapped)).pipe(Layer.provide(layerMemory()))
  return { store, failing, hanging, asked }
}
