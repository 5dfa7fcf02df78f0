/** The threads of piscina, which calls what a file exports by its name. */
import { move } from "piscina"
import { crunch, stamp } from "./crunch.ts"

export const crunched = ({ seed, steps }: { readonly seed: number; readonly steps: number }): number =>
  crunch(seed, steps)

export const stamped = (bytes: Uint8Array<ArrayBuffer>): unknown => move(stamp(bytes))
