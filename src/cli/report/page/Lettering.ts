/**
 * How wide texts are at the size of labels, in pixels, where nothing can be measured: in a picture that is looked at with
 * the fonts of another machine. Pure.
 *
 * By the widths of DejaVu Sans, which is wider than the fonts of other systems: what fits with that fits.
 *
 * @internal
 */

const widths: ReadonlyArray<readonly [RegExp, number]> = [
  [/[ijlI!'|.,:;]/, 3.6],
  [/[ frt()[\]/\\*"-]/, 4.8],
  [/[mwMW@%…]/, 10.8],
  [/[A-Z&+=<>~#^]/, 8.4],
  [/[ -~]/, 6.9]
]
const elsewhere = 7.2
const wide = 11

/** The blocks that are wholly wide or fullwidth in Unicode's EastAsianWidth.txt, and what is shown as a picture. */
const doubleWidth =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{17000}-\u{18cff}\u{1b000}-\u{1b2ff}\u{1f000}-\u{1faff}\u{20000}-\u{3fffd}]/u
const withoutWidth = /[\p{M}\p{Cf}]/u

const known = new Map<string, number>()

const widthOfCharacter = (character: string): number => {
  const found = known.get(character)
  if (found !== undefined) return found
  const width = withoutWidth.test(character)
    ? 0
    : (widths.find(([pattern]) => pattern.test(character))?.[1] ?? (doubleWidth.test(character) ? wide : elsewhere))
  known.set(character, width)
  return width
}

/** @internal */
export const widthOf = (text: string): number => {
  let width = 0
  for (const character of text) width += widthOfCharacter(character)
  return width
}

const ellipsis = "…"

/**
 * As much of a text as there is room for, and `…` for the rest.
 *
 * @internal
 */
export const cut = (text: string, room: number): string => {
  let width = 0
  let end = 0
  let fits = 0
  for (const character of text) {
    width += widthOfCharacter(character)
    if (width > room) return text.slice(0, fits) + ellipsis
    end += character.length
    if (width + widthOfCharacter(ellipsis) <= room) fits = end
  }
  return text
}
