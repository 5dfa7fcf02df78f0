/**
 * Equal steps from the least to the greatest value of a column, for types that can be calculated with. Pure.
 *
 * Values are texts, as the server renders them, and all but floating-point numbers are calculated with as integers of
 * any size: from -2^63 to 2^63 - 1 there are more than a double can count.
 *
 * @internal
 */

/**
 * The values to cut before, ascending: at most `parts - 1`, each above `least` and none above `greatest`.
 *
 * @internal
 */
export type Steps = (least: string, greatest: string, parts: number) => ReadonlyArray<string>

/**
 * Of whole numbers.
 *
 * @internal
 */
export const integers: Steps = (least, greatest, parts) => cut(BigInt(least), BigInt(greatest), parts).map(String)

/** Both ends count, so that eight numbers make eight parts. */
const cut = (least: bigint, greatest: bigint, parts: number): ReadonlyArray<bigint> => {
  const count = greatest - least + 1n
  const cuts: Array<bigint> = []
  for (let part = 1n; part < BigInt(parts); part++) {
    const next = least + (count * part) / BigInt(parts)
    if (next > (cuts.at(-1) ?? least)) cuts.push(next)
  }
  return cuts
}

/**
 * Of decimal numbers, with as many digits behind the point as it takes to tell the steps apart.
 *
 * @internal
 */
export const decimals: Steps = (least, greatest, parts) => {
  // Three more: what is rounded away is a thousandth of a step, even where the two differ in their last digit only.
  const digits = Math.max(fractionOf(least).length, fractionOf(greatest).length) + String(parts).length + 3
  return cut(scaled(least, digits), scaled(greatest, digits), parts).map((number) => unscaled(number, digits))
}

const fractionOf = (number: string): string => number.split(".")[1] ?? ""

const scaled = (number: string, digits: number): bigint => {
  const [whole = ""] = number.split(".")
  return BigInt(whole + fractionOf(number).padEnd(digits, "0"))
}

const unscaled = (number: bigint, digits: number): string => {
  const text = (number < 0n ? -number : number).toString().padStart(digits + 1, "0")
  return `${number < 0n ? "-" : ""}${text.slice(0, -digits)}.${text.slice(-digits)}`
}

/**
 * Of floating-point numbers.
 *
 * @internal
 */
export const doubles: Steps = (least, greatest, parts) => {
  const [from, to] = [Number(least), Number(greatest)]
  const cuts: Array<number> = []
  for (let part = 1; part < parts; part++) {
    // Not by their difference, which may be more than a double can hold.
    const next = from * (1 - part / parts) + to * (part / parts)
    if (next > (cuts.at(-1) ?? from) && next <= to) cuts.push(next)
  }
  return cuts.map(String)
}

/**
 * Of UUIDs, which PostgreSQL orders as numbers of 128 bits.
 *
 * @internal
 */
export const uuids: Steps = (least, greatest, parts) =>
  cut(numberOf(least), numberOf(greatest), parts).map((number) =>
    number
      .toString(16)
      .padStart(32, "0")
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
  )

const numberOf = (uuid: string): bigint => BigInt(`0x${uuid.replaceAll("-", "")}`)
