/**
 * A flag that is there or not.
 *
 * @internal
 */
import { Flag } from "effect/cli"

/** @internal */
export const switchFlag = (name: string, description: string): Flag.Flag<boolean> =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))
