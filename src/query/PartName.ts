/**
 * What the queries of a partition are called: `accounts [1/8]` its parts, and `accounts [plan]` what plans them.
 *
 * @internal
 */
import * as Origin from "./Origin.ts"

const noted = (name: string, whole: string): string => {
  Origin.noteAs(name, whole)
  return name
}

/** @internal */
export const part = (whole: string, index: number, count: number): string =>
  noted(`${whole} [${index + 1}/${count}]`, whole)

/** @internal */
export const plan = (whole: string): string => noted(`${whole} [plan]`, whole)

const ending = / \[(?:plan|\d+\/\d+)\]$/

/** @internal */
export const isOfPart = (name: string): boolean => ending.test(name)
