/**
 * Background tasks: named, typed pieces of work, with sessions, retries and a clean stop.
 *
 * @since 0.1.0
 */
export * as Background from "./Background.ts"
export * as Task from "./Task.ts"
export * as TaskError from "./TaskError.ts"
export * as TaskGroup from "./TaskGroup.ts"
export * as TaskHandle from "./TaskHandle.ts"
export * as TaskList from "./TaskList.ts"
export * as TaskRunner from "./TaskRunner.ts"
export * as TaskSchedule from "./TaskSchedule.ts"
export * as TaskState from "./TaskState.ts"
export * as TaskStore from "./TaskStore.ts"
export * as TaskStoreMemory from "./TaskStoreMemory.ts"
