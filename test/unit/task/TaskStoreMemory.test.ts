import { describe } from "@effect/vitest"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { suite } from "../../suites/TaskStore.ts"

describe("the store in memory", () => {
  suite(layerMemory, { sequences: 2000 })
})
