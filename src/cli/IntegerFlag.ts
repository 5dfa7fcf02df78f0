/**
 * A flag that takes an integer.
 *
 * @internal
 */
import { Option } from "effect"
import { Flag } from "effect/cli"

/** @internal */
export const integer = (name: string, from: number, to = Number.MAX_SAFE_INTEGER): Flag.Flag<number> =>
  Flag.String(name).pipe(
    Flag.withMetavar("integer"),
    Flag.filterMap(
      (text) => {
        const value = Number(text)
        return /^\d+$/.test(text) && value >= from && value <= to ? Option.some(value) : Option.none()
      },
      () => (to === Number.MAX_SAFE_INTEGER ? `an integer from ${from}` : `an integer from ${from} to ${to}`)
    )
  )
