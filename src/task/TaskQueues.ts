/**
 * Tasks that are ready, in the order in which they are claimed.
 *
 * Those of one queue, name and key lie in one heap, so that a claim never looks at a task that it may not take: neither
 * those without a handler nor a hundred thousand of one key are in the way of others. A claim costs a step for each such
 * heap and log n for each task.
 *
 * @internal
 */
import { Heap } from "../internal/Heap.ts"
import type { Offer } from "./TaskStore.ts"

/** What a place in a queue is for. It is lost when the task's `version` has moved on. */
interface Queued extends Pick<Offer, "id" | "name" | "queue" | "limitKey"> {
  readonly version: number
}

interface Place<A extends Queued> {
  readonly task: A
  readonly version: number
  /** The smaller, the sooner. */
  readonly rank: number
}

interface Bucket<A extends Queued> {
  readonly name: string
  readonly limitKey: string | undefined
  readonly heap: Heap<Place<A>>
}

/** Who is asked for. */
interface Wanted {
  readonly names: ReadonlySet<string>
  /** How many more of a key may be taken. */
  readonly allowance: (key: string) => number
  readonly limit: number
}

/** @internal */
export class TaskQueues<A extends Queued> {
  private readonly queues = new Map<string, Map<string, Bucket<A>>>()

  add(task: A, rank: number): void {
    let buckets = this.queues.get(task.queue)
    if (buckets === undefined) this.queues.set(task.queue, (buckets = new Map()))
    const key = JSON.stringify([task.name, task.limitKey])
    let bucket = buckets.get(key)
    if (bucket === undefined) {
      bucket = { name: task.name, limitKey: task.limitKey, heap: new Heap(isBefore, isLive) }
      buckets.set(key, bucket)
    }
    bucket.heap.push({ task, version: task.version, rank })
  }

  /** Takes tasks of a queue, the first first. `take` has to move each. */
  take(queue: string, { allowance, limit, names }: Wanted, take: (task: A) => void): void {
    const buckets = this.queues.get(queue)
    if (buckets === undefined) return
    const heads = new Heap<{ readonly first: Place<A>; readonly bucket: Bucket<A> }>((a, b) =>
      isBefore(a.first, b.first)
    )
    for (const [key, bucket] of buckets) {
      const first = bucket.heap.peek()
      if (first === undefined) buckets.delete(key)
      else if (names.has(bucket.name)) heads.push({ first, bucket })
    }
    if (buckets.size === 0) this.queues.delete(queue)
    for (let taken = 0; taken < limit;) {
      const head = heads.pop()
      if (head === undefined) return
      const { bucket } = head
      if (bucket.limitKey !== undefined && allowance(bucket.limitKey) <= 0) continue
      bucket.heap.pop()
      take(head.first.task)
      taken++
      const first = bucket.heap.peek()
      if (first !== undefined) heads.push({ first, bucket })
    }
  }
}

const isLive = <A extends Queued>({ task, version }: Place<A>): boolean => task.version === version

const isBefore = <A extends Queued>(a: Place<A>, b: Place<A>): boolean =>
  a.rank < b.rank || (a.rank === b.rank && a.task.id < b.task.id)
