/**
 * A flag that takes an integer.
 *
 * @internal
 */
import { Option } from "effect"
import { Flag } from "effect/cli"

/** @internal */
export const integer = (name: string, from: number): Flag.Flag<number> =>
  Flag.String(name).pipe(
    Flag.withMetavar("integer"),
    Flag.filterMap(
      (text) => {
        const value = Number(text)
        return text.trim() !== "" && Number.isSafeInteger(value) && value >= from ? Option.some(value) : Option.none()
      },
      () => `an integer from ${from}`
    )
  )
