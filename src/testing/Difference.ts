/**
 * Where one JSON value differs from another: the paths, each with what is there and what was expected.
 *
 * @internal
 */
import type { Json } from "../task/TaskStore.ts"

/** @internal */
export interface Difference {
  readonly path: string
  /** As JSON, or "nothing". */
  readonly expected: string
  readonly actual: string
}

const isRecord = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isList = (value: Json | undefined): value is ReadonlyArray<Json> => Array.isArray(value)

const textOf = (value: Json | undefined): string => (value === undefined ? "nothing" : JSON.stringify(value))

/** @internal */
export const differences = (
  path: string,
  expected: Json | undefined,
  actual: Json | undefined
): ReadonlyArray<Difference> => {
  if (isList(expected) && isList(actual)) {
    const length = Math.max(expected.length, actual.length)
    return Array.from({ length }, (_, index) => differences(`${path}[${index}]`, expected[index], actual[index])).flat()
  }
  if (isRecord(expected) && isRecord(actual)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(actual)])
    return [...keys].flatMap((key) => differences(`${path}.${key}`, own(expected, key), own(actual, key)))
  }
  return textOf(expected) === textOf(actual) ? [] : [{ path, expected: textOf(expected), actual: textOf(actual) }]
}

const own = (record: { readonly [key: string]: Json }, key: string): Json | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined
