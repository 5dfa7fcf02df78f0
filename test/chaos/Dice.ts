/** Choices that follow from a seed alone: the same seed makes the same round. */
import { choose } from "../support/FaultScript.ts"

export class Dice {
  readonly seed: number
  private thrown = 0

  constructor(seed: number) {
    this.seed = seed
  }

  /** From 0 to below 1. */
  private next(): number {
    const place = this.thrown++
    // Mixed once only, neighbouring seeds choose alike: of 19 kinds of query, one came up half as often as it should.
    return choose(Math.trunc(choose(this.seed, place) * 2 ** 32), place)
  }

  chance(part: number): boolean {
    return this.next() < part
  }

  /** An integer of these two and all between. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  pick<A>(options: readonly [A, ...ReadonlyArray<A>]): A {
    return options[this.between(0, options.length - 1)] ?? options[0]
  }
}
