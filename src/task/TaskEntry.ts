/**
 * A task as the store in memory has it.
 *
 * @internal
 */
import type { TaskState } from "./TaskState.ts"
import type { End, Json, Offer, Stored, TaskId } from "./TaskStore.ts"

/**
 * A task. Its version is another one whenever it has come to stand in another place.
 *
 * @internal
 */
export class Entry {
  readonly offer: Offer
  readonly offeredAt: number
  state: TaskState
  result: Json | undefined
  why: string | undefined
  progress: Json | undefined
  awaited: ReadonlyArray<End> | undefined
  /** From when on its time is counted, once it has ended: since then, or since nobody awaits it any more. */
  keptSince = 0
  version = 0
  /** All ids under which it is known. */
  readonly ids: Array<TaskId>

  constructor(offer: Offer, offeredAt: number, state: TaskState) {
    this.offer = offer
    this.offeredAt = offeredAt
    this.state = state
    this.ids = [offer.id]
  }

  get id(): TaskId {
    return this.offer.id
  }

  get name(): string {
    return this.offer.name
  }

  get queue(): string {
    return this.offer.queue
  }

  get limitKey(): string | undefined {
    return this.offer.limitKey
  }

  get uniqueName(): string | undefined {
    const { name, uniqueKey } = this.offer
    return uniqueKey === undefined ? undefined : uniqueNameOf(name, uniqueKey)
  }

  stored(): Stored {
    const { awaited, offer, offeredAt, progress, result, state, why } = this
    return { ...offer, state, offeredAt, result, why, progress, awaited }
  }
}

/** @internal */
export const uniqueNameOf = (name: string, key: string): string => JSON.stringify([name, key])
