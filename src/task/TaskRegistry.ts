/**
 * Where handlers and the runner meet: a handler's layer registers what it does with a task, for as long as it lives.
 *
 * @internal
 */
import type { Effect, Scope } from "effect"
import { Context } from "effect"
import type { Json, Settlement, Stored } from "./TaskStore.ts"

/**
 * What became of an attempt, and what the log should say of it.
 *
 * @internal
 */
export type Ending = Pick<Settlement, "input" | "result" | "why">

/**
 * An attempt, as its handler's side has it.
 *
 * @internal
 */
export interface Attempt {
  readonly task: Stored
  /** From 1. */
  readonly number: number
  /** Its handler begins: it has its session. */
  readonly begins: (now: number) => void
  readonly report: (progress: Json) => void
  /** Whether it is its runner that interrupts it. */
  readonly isStopped: () => boolean
}

/** @internal */
export interface Worker {
  readonly name: string
  readonly queue: string
  readonly timeoutMillis: number
  /** To be run where interruption is off: it is on for the handler alone, and what became of it is always said. */
  readonly attempt: (attempt: Attempt) => Effect.Effect<Ending>
}

/**
 * Runs tasks, as their handlers see it. `TaskRunner.layer` makes one.
 *
 * @since 0.1.0
 */
export class TaskRunner extends Context.Service<
  TaskRunner,
  {
    /**
     * Has tasks run by a worker until the scope closes, which waits for those that run.
     *
     * @internal
     */
    readonly register: (worker: Worker) => Effect.Effect<void, never, Scope.Scope>
    /**
     * Says in which scope the layer of a worker was built, once for each that shares it. When all of them are closed, it
     * is known to close before its own turn comes.
     *
     * @internal
     */
    readonly builtIn: (worker: string, scope: Scope.Scope) => Effect.Effect<void>
  }
>()("querypool/task/TaskRunner") {}
