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
    return choose(this.seed, this.thrown++)
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
