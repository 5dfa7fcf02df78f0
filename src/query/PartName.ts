/**
 * What the queries of a partition are called: `accounts [1/8]` its parts, and `accounts [plan]` what plans them.
 *
 * @internal
 */

/** @internal */
export const part = (whole: string, index: number, count: number): string => `${whole} [${index + 1}/${count}]`

/** @internal */
export const plan = (whole: string): string => `${whole} [plan]`

const ending = / \[(?:plan|\d+\/\d+)\]$/

/**
 * The name of the query that one of these names belongs to; any other name is its own. Asked for each query that is made.
 *
 * @internal
 */
export const wholeOf = (name: string): string => (name.endsWith("]") ? name.replace(ending, "") : name)

/** @internal */
export const isOfPart = (name: string): boolean => ending.test(name)
