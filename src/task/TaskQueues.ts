/**
 * Tasks that are ready, in the order in which they are claimed.
 *
 *     queue ─► name ─► the first of each key, in a heap ─► all of a key, in a heap
 *
 * A claim never looks at a task that it may not take, but for one of each key that is at its limit and would come first:
 * neither tasks without a handler, nor a hundred thousand of one key, nor a hundred thousand keys are in the way. It costs
 * a step for each name, and log n for each task and each such key.
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

/** Who is asked for. */
interface Wanted {
  readonly names: ReadonlySet<string>
  /** How many more of a key may be taken. */
  readonly allowance: (key: string) => number
  readonly limit: number
}

/** Tasks of one name and one key. */
class Bucket<A extends Queued> {
  readonly limitKey: string | undefined
  readonly places = new Heap<Place<A>>(isBefore, isLive)
  /** What stands for it among those of its name. */
  head: Head<A> | undefined

  constructor(limitKey: string | undefined) {
    this.limitKey = limitKey
  }
}

interface Head<A extends Queued> {
  readonly place: Place<A>
  readonly bucket: Bucket<A>
}

/** Tasks of one name. */
class Line<A extends Queued> {
  private readonly buckets = new Map<string | undefined, Bucket<A>>()
  private readonly heads = new Heap<Head<A>>(
    (a, b) => isBefore(a.place, b.place),
    (head) => head.bucket.head === head
  )

  add(place: Place<A>): void {
    const { limitKey } = place.task
    let bucket = this.buckets.get(limitKey)
    if (bucket === undefined) this.buckets.set(limitKey, (bucket = new Bucket(limitKey)))
    bucket.places.push(place)
    this.head(bucket)
  }

  /** The head of all. */
  get first(): Head<A> | undefined {
    for (let head = this.heads.peek(); head !== undefined; head = this.heads.peek()) {
      if (isLive(head.place)) return head
      this.head(head.bucket)
    }
    return undefined
  }

  /** Takes it away, until it is put back. */
  setAside(): void {
    this.heads.pop()
  }

  putBack(head: Head<A>): void {
    this.heads.push(head)
  }

  /** Has what is the first of a bucket now stand for it. */
  head(bucket: Bucket<A>): void {
    const place = bucket.places.peek()
    if (place === bucket.head?.place) return
    bucket.head = place === undefined ? undefined : { place, bucket }
    if (bucket.head === undefined) this.buckets.delete(bucket.limitKey)
    else this.heads.push(bucket.head)
  }
}

/** @internal */
export class TaskQueues<A extends Queued> {
  private readonly queues = new Map<string, Map<string, Line<A>>>()

  add(task: A, rank: number): void {
    let lines = this.queues.get(task.queue)
    if (lines === undefined) this.queues.set(task.queue, (lines = new Map()))
    let line = lines.get(task.name)
    if (line === undefined) lines.set(task.name, (line = new Line()))
    line.add({ task, version: task.version, rank })
  }

  /** Takes tasks of a queue, the first first. `take` has to move each. */
  take(queue: string, { allowance, limit, names }: Wanted, take: (task: A) => void): void {
    const lines = this.queues.get(queue)
    if (lines === undefined) return
    const firsts = new Heap<{ readonly head: Head<A>; readonly line: Line<A> }>((a, b) =>
      isBefore(a.head.place, b.head.place)
    )
    const next = (name: string, line: Line<A>): void => {
      const head = line.first
      if (head !== undefined) firsts.push({ head, line })
      else if (aside.every((one) => one.line !== line)) lines.delete(name)
    }
    const aside: Array<{ readonly head: Head<A>; readonly line: Line<A> }> = []
    for (const [name, line] of lines) if (names.has(name)) next(name, line)
    for (let taken = 0; taken < limit;) {
      const one = firsts.pop()
      if (one === undefined) break
      const { bucket, place } = one.head
      if (bucket.limitKey !== undefined && allowance(bucket.limitKey) <= 0) {
        one.line.setAside()
        aside.push(one)
      } else {
        bucket.places.pop()
        take(place.task)
        taken++
        one.line.head(bucket)
      }
      next(place.task.name, one.line)
    }
    for (const { head, line } of aside) line.putBack(head)
    if (lines.size === 0) this.queues.delete(queue)
  }
}

const isLive = <A extends Queued>({ task, version }: Place<A>): boolean => task.version === version

const isBefore = <A extends Queued>(a: Place<A>, b: Place<A>): boolean =>
  a.rank < b.rank || (a.rank === b.rank && a.task.id < b.task.id)
