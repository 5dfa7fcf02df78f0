import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { suite } from "../../suites/TaskStore.ts"

suite("the store in memory", layerMemory, { sequences: 2000 })
