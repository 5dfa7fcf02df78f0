/**
 * How much two words differ, and which of many was probably meant.
 *
 * @internal
 */

/** A comment can be megabytes long, and two words take as many steps as the product of their lengths. */
const longest = 200

const at = (row: ReadonlyArray<number>, index: number): number => row[index] ?? Infinity

/**
 * How many letters have to be added, dropped, changed or swapped with the next (optimal string alignment).
 *
 * @internal
 */
export const distance = (a: string, b: string): number => {
  const [shorter, longer] = a.length < b.length ? [a.length, b.length] : [b.length, a.length]
  // What is twice as long is another word, whatever the letters.
  if (longer > 2 * shorter || longer > longest) return longer
  let beforeLast: Array<number> = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = isSwap ? at(beforeLast, j - 2) + 1 : Infinity
      row.push(Math.min(at(last, j) + 1, at(row, j - 1) + 1, changed, swapped))
    }
    beforeLast = last
    last = row
  }
  return at(last, b.length)
}

/**
 * The one that differs least from a text, if it differs in less than half of it.
 *
 * @internal
 */
export const nearest = (
  text: string,
  words: Iterable<string>,
  shape: (word: string) => string = (word) => word
): string | undefined => {
  let found: string | undefined
  let fewest = text.length / 2
  for (const word of words) {
    const edits = distance(shape(text), shape(word))
    if (edits >= fewest) continue
    fewest = edits
    found = word
  }
  return found
}
