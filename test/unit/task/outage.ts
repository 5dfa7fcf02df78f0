import { Layer } from "effect"
import { StoreFailed } from "../../../src/task/TaskError.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import * as Faults from "../../../src/testing/Faults.ts"

/** A store in memory of which operations can be switched off and on, and that counts how often each is asked for. */
export const outage = () => {
  const failing = new Set<Faults.Operation>()
  const hanging = new Set<Faults.Operation>()
  const asked = new Map<string, number>()
  const isAmong =
    (operations: ReadonlySet<string>) =>
    ({ name, nth }: Faults.Execution): boolean => {
      asked.set(name, nth)
      return operations.has(name)
    }
  const store = Faults.store([
    { when: isAmong(hanging), fault: Faults.hang },
    { when: isAmong(failing), fault: Faults.fail(new StoreFailed({ message: "no connection" })) }
  ]).pipe(Layer.provide(layerMemory()))
  return { store, failing, hanging, asked }
}
