/**
 * Faults of a store of tasks.
 *
 * @internal
 */
import { Effect, Layer, Stream } from "effect"
import { StoreFailed, TaskError } from "../task/TaskError.ts"
import { TaskStore } from "../task/TaskStore.ts"
import type { Fault, Options, Rule } from "./FaultRules.ts"
import { Judge } from "./FaultRules.ts"

type Store = TaskStore["Service"]

/**
 * What a store can be asked for.
 *
 * @since 0.1.0
 */
export type Operation = keyof Store

/**
 * What happens to which operations.
 *
 * @since 0.1.0
 */
export interface StoreRule extends Rule<Fault<TaskError["reason"]>> {
  /** Default: all. */
  readonly operation?: Operation | ReadonlyArray<Operation> | undefined
}

type Verdict = Effect.Effect<Fault<TaskError["reason"]> | undefined>

/**
 * Has faults happen to the operations of the store that it is provided with.
 *
 * One that fails has changed nothing. One whose answer is lost has, and fails with `StoreFailed`. Of a `watch`, each change
 * is an execution, the first, empty one too.
 *
 * ```ts
 * const store = Layer.provideMerge(
 *   Faults.store([{ operation: ["claim", "settle"], chance: 0.2, fault: Faults.loseAnswer }], { seed }),
 *   TaskStoreMemory.layerMemory()
 * )
 * ```
 *
 * @since 0.1.0
 */
export const store = (
  rules: ReadonlyArray<StoreRule>,
  options: Options = {}
): Layer.Layer<TaskStore, never, TaskStore> => {
  const judge = new Judge<Fault<TaskError["reason"]>, StoreRule>(rules, options)
  const isFor =
    (name: string) =>
    ({ operation }: StoreRule): boolean =>
      operation === undefined || [operation].flat().some((one) => one === name)
  const verdict = (name: string): Verdict => judge.verdict(name, isFor(name))
  return Layer.effect(
    TaskStore,
    Effect.map(TaskStore, (whole) => wrapped(whole, verdict))
  )
}

const wrapped = (whole: Store, verdict: (name: string) => Verdict): Store => {
  const { watch } = whole
  const faulty = Object.entries(whole).map(([name, operation]) => [
    name,
    (...args: ReadonlyArray<unknown>) => effectWith(verdict(name), Reflect.apply(operation, whole, args))
  ])
  return {
    // That each operation takes and gives what it did is what this does, and beyond what types can say of all of them.
    ...(Object.fromEntries(faulty) as Store),
    watch: (ids) => Stream.mapEffect(watch(ids), (change) => effectWith(verdict("watch"), Effect.succeed(change)))
  }
}

const lost = () => failed(new StoreFailed({ message: "the connection was lost before the answer" }))

const failed = (reason: TaskError["reason"]) => new TaskError({ reason })

const effectWith = <A, R>(
  verdict: Verdict,
  operation: Effect.Effect<A, TaskError, R>
): Effect.Effect<A, TaskError, R> =>
  Effect.flatMap(verdict, (fault) => {
    switch (fault?._tag) {
      case undefined:
        return operation
      case "Fail":
        return Effect.fail(failed(fault.reason))
      case "Delay":
        return Effect.delay(operation, fault.millis)
      case "Hang":
        return Effect.never
      case "LoseAnswer":
        return Effect.flatMap(operation, () => Effect.fail(lost()))
    }
  })
