/**
 * A binary heap: gives the least of what was put in, in log n steps. (J. W. J. Williams, "Algorithm 232: Heapsort",
 * 1964.)
 *
 * What is put in may lose its meaning while it lies here. It is then passed over when it comes up, and thrown out by
 * itself before more than half of the heap can be of that kind: nothing has to be searched for, and nothing piles up.
 *
 * @internal
 */

/** @internal */
export class Heap<A> {
  private readonly isBefore: (a: A, b: A) => boolean
  private readonly isLive: (a: A) => boolean
  private items: Array<A> = []
  private room = leastRoom

  constructor(isBefore: (a: A, b: A) => boolean, isLive: (a: A) => boolean = () => true) {
    this.isBefore = isBefore
    this.isLive = isLive
  }

  /** How many there are, with those that have lost their meaning. */
  get size(): number {
    return this.items.length
  }

  push(item: A): void {
    if (this.items.length >= this.room) this.clean()
    this.items.push(item)
    this.rise(this.items.length - 1)
  }

  /** The least one. */
  peek(): A | undefined {
    for (;;) {
      const [least] = this.items
      if (least === undefined || this.isLive(least)) return least
      this.removeLeast()
    }
  }

  /** The least one, which is no longer in the heap then. */
  pop(): A | undefined {
    const least = this.peek()
    if (least !== undefined) this.removeLeast()
    return least
  }

  private removeLeast(): void {
    const last = this.items.pop()
    if (last === undefined || this.items.length === 0) return
    this.items[0] = last
    this.sink(0)
  }

  private clean(): void {
    this.items = this.items.filter(this.isLive)
    this.room = Math.max(leastRoom, 2 * this.items.length)
    for (let place = (this.items.length >> 1) - 1; place >= 0; place--) this.sink(place)
  }

  private rise(from: number): void {
    const { items } = this
    for (let place = from; place > 0;) {
      const above = (place - 1) >> 1
      if (!this.swapIfBefore(items, place, above)) return
      place = above
    }
  }

  private sink(from: number): void {
    const { items } = this
    for (let place = from; ;) {
      const left = 2 * place + 1
      const [a, b] = [items[left], items[left + 1]]
      const least = a !== undefined && b !== undefined && this.isBefore(b, a) ? left + 1 : left
      if (!this.swapIfBefore(items, least, place)) return
      place = least
    }
  }

  /** Makes `low` and `high` change places where what stands at `low` comes before. */
  private swapIfBefore(items: Array<A>, low: number, high: number): boolean {
    const [a, b] = [items[low], items[high]]
    if (a === undefined || b === undefined || !this.isBefore(a, b)) return false
    items[high] = a
    items[low] = b
    return true
  }
}

const leastRoom = 64
