/**
 * What a statement is by its text: whether it gives rows, and whether it does no more than read.
 *
 * What is not known by the text is answered such that nothing is lost: what may write counts as writing. The other way
 * round a text cannot tell of a `select` that calls a function which writes.
 *
 * @internal
 */
import * as Token from "../internal/sqlTokens.ts"
import { faultOf } from "../query/Subquery.ts"

interface Word {
  /** In lower case. */
  readonly word: string
  readonly isOutermost: boolean
}

/** Its words that are not quoted. */
const wordsOf = (text: string): ReadonlyArray<Word> => {
  const words: Array<Word> = []
  let depth = 0
  for (let at = Token.endOfGap(text, 0); at >= 0 && at < text.length;) {
    const code = text.charCodeAt(at)
    const end = Token.endOfToken(text, at, code)
    if (end === Token.unterminated) break
    if (code === Token.openParen) depth++
    else if (code === Token.closeParen) depth--
    else if (Token.isWordStart(code)) words.push({ word: text.slice(at, end).toLowerCase(), isOutermost: depth === 0 })
    at = Token.endOfGap(text, end)
  }
  return words
}

const queries: ReadonlySet<string> = new Set(["select", "values", "table", "with"])
const writes: ReadonlySet<string> = new Set(["insert", "update", "delete", "merge"])
const shows: ReadonlySet<string> = new Set(["show", "explain", "fetch", "execute"])
/** Of the session alone. */
const settings: ReadonlySet<string> = new Set(["set", "reset", "show"])

/**
 * Whether it is one whose rows are for a file. What a procedure gives back by `call` is not: it may commit, which it
 * cannot while its rows are copied.
 *
 * @internal
 */
export const givesRows = (text: string): boolean => {
  const words = wordsOf(text)
  const outermost = words.filter(({ isOutermost }) => isOutermost).map(({ word }) => word)
  const [first] = words
  if (first === undefined) return false
  if (shows.has(first.word)) return true
  if (writes.has(first.word)) return outermost.includes("returning")
  if (!queries.has(first.word)) return false
  const write = first.word === "with" ? outermost.find((word) => writes.has(word) || word === "select") : undefined
  if (write !== undefined && writes.has(write)) return outermost.includes("returning")
  // `select … into t` makes a table.
  return !outermost.includes("into")
}

/**
 * Whether it does nothing but read, or set something for its own session.
 *
 * @internal
 */
export const onlyReads = (text: string): boolean => {
  const words = wordsOf(text)
  const [first] = words
  if (first !== undefined && settings.has(first.word)) return true
  // Also the `update` of `for update`: it takes locks, which a server that only reads refuses.
  return faultOf(text) === undefined && !words.some(({ word }) => writes.has(word) || word === "into")
}
