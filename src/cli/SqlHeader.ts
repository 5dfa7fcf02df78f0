/**
 * The header lines of a `.sql` file: comments that say what a query is called, what it needs and how it is run.
 *
 *     -- name: authors
 *     -- needs: import/books, import/people
 *     -- tag: team=library
 *     -- timeout: 30s
 *     -- retry: 3
 *     -- read-only
 *     -- partition: column=id parts=8
 *     select * from authors;
 *
 * Headers stand above the first statement: under a query's `-- name:` line they hold for that query, above all of them
 * for every query of the file; a query's own line wins. Needs and tags may stand in several lines, and those of a query
 * come on top of those of its file.
 *
 * There, a comment that begins with one lower-case word and a colon is a header, and one with a word that nobody knows
 * is refused, so that no setting is lost to a slip of the pen; so is a comment that is nothing but a misspelled word of
 * `words` below. Every other comment is prose: whatever begins with a capital letter or has a second word before the
 * colon, and `note:`, `todo:`, `fixme:` and `see:`. Below the first statement all comments are prose, but for those that
 * would have been a setting above it.
 *
 * @since 0.1.0
 */
import type { Duration } from "effect"
import { Option } from "effect"
import { distance, nearest } from "../internal/editDistance.ts"
import { mostParts } from "../query/Partition.ts"
import { parseDuration } from "./DurationText.ts"

/**
 * How a query is run, where its file says so.
 *
 * @since 0.1.0
 */
export interface SqlSettings {
  /** `-- timeout: 30s`: how long it may take, with its retries. */
  readonly timeout?: Duration.Duration | undefined
  /** `-- retry: 3`: how often it is tried again at most, after a failure that may pass. */
  readonly retry?: number | undefined
  /** `-- transaction`, one transaction as a whole, or `-- read-only`, where the server refuses to write. */
  readonly mode?: "transaction" | "readOnly" | undefined
  /** `-- idempotent`: running it twice does no more than running it once. */
  readonly idempotent?: boolean | undefined
  /** `-- partition: column=id parts=8`: cut by a column into so many parts, which run beside each other. */
  readonly partition?: { readonly column: string; readonly parts: number } | undefined
  /** `-- needs: a, b`: queries of the run, of this file or another, that have to succeed before it starts. */
  readonly needs?: ReadonlyArray<SqlNeed> | undefined
  /** `-- tag: key=value`: what it can be selected by. */
  readonly tags?: Readonly<Record<string, string>> | undefined
}

/** A query that another one needs. */
interface SqlNeed {
  readonly name: string
  /** From 1: the line that says so. */
  readonly line: number
}

/**
 * A comment as a header line.
 *
 * @internal
 */
export type SqlHeader =
  | { readonly _tag: "Name"; readonly value: string }
  /** `setting` is `undefined` where the value is none. */
  | { readonly _tag: "Setting"; readonly word: Word; readonly value: string; readonly setting: SqlSettings | undefined }
  | { readonly _tag: "Unknown"; readonly text: string }

type Word = keyof typeof words

/** What each word makes of its value, which is empty where none is given. */
const words = {
  timeout: (value: string): SqlSettings | undefined =>
    Option.getOrUndefined(Option.map(parseDuration(value), (timeout) => ({ timeout }))),
  retry: (value: string): SqlSettings | undefined => (/^\d{1,6}$/.test(value) ? { retry: Number(value) } : undefined),
  transaction: (value: string): SqlSettings | undefined => (value === "" ? { mode: "transaction" } : undefined),
  "read-only": (value: string): SqlSettings | undefined => (value === "" ? { mode: "readOnly" } : undefined),
  idempotent: (value: string): SqlSettings | undefined => (value === "" ? { idempotent: true } : undefined),
  needs: (value: string, line: number): SqlSettings | undefined => {
    const names = listOf(value)
    return names.every(isNeed) ? { needs: names.map((name) => ({ name, line })) } : undefined
  },
  tag: (value: string): SqlSettings | undefined => {
    const tags = listOf(value).map((tag) => tagPattern.exec(tag))
    if (!tags.every((tag) => tag !== null)) return undefined
    const byKey = new Map(tags.map(([, key = "", text = ""]) => [key, text]))
    return byKey.size === tags.length ? { tags: Object.fromEntries(byKey) } : undefined
  },
  partition: (value: string): SqlSettings | undefined => {
    const [, before, name = "", after] = partitionPattern.exec(value) ?? []
    if (before !== undefined && after !== undefined) return undefined
    const parts = Number(before ?? after)
    const column = name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name
    return parts >= 1 && parts <= mostParts && column !== "" ? { partition: { column, parts } } : undefined
  }
}

/** `column=` and `parts=` in either order; a name in quotes may have blanks in it. */
const partitionPattern = /^(?:parts=(\d{1,5})\s+)?column=("(?:[^"]|"")+"|[^\s"=]+)(?:\s+parts=(\d{1,5}))?$/

/** Without their value they are no settings, and `-- tag` may be a heading above a table of tags. */
const lists: ReadonlySet<string> = new Set(["needs", "tag", "partition"] satisfies ReadonlyArray<Word>)

const listOf = (value: string): ReadonlyArray<string> => value.split(",").map((item) => item.trim())

/** The name of a file's query may have blanks and colons in it. */
const isNeed = (name: string): boolean => /^[^\p{Cc}\p{Cf}]+$/u.test(name)

const tagPattern = /^([\p{L}\p{N}_.-]+)\s*=\s*([^\p{Cc}\p{Cf}]+)$/u

/**
 * Every word that a header can begin with.
 *
 * @internal
 */
export const knownHeaders: ReadonlyArray<string> = ["name", ...Object.keys(words)]

/** Words that are settings without a list. */
const flags = Object.keys(words).filter((word) => !lists.has(word))

const isWord = (text: string): text is Word => Object.hasOwn(words, text)

const prose: ReadonlySet<string> = new Set(["note", "todo", "fixme", "see"])

/**
 * What a comment, which stands in that line of its file, says as a header, or `undefined` where it is prose.
 *
 * @internal
 */
export const readHeader = (comment: string, line = 1): SqlHeader | undefined => {
  const colon = comment.indexOf(":")
  const word = comment.slice("--".length, colon < 0 ? undefined : colon).trim()
  const rest = colon < 0 ? "" : comment.slice(colon + 1)
  const value = rest.trim()
  if (isWord(word) && (colon >= 0 || !lists.has(word))) {
    return { _tag: "Setting", word, value, setting: words[word](value, line) }
  }
  if (colon < 0) return isMisspelled(word) ? { _tag: "Unknown", text: word } : undefined
  // In lower case only: pg_dump writes `-- Name: authors; Type: TABLE` above each object.
  if (word === "name") return { _tag: "Name", value }
  const isHeader = /^[a-z][a-z-]*$/.test(word) && !prose.has(word) && /^(\s|$)/.test(rest)
  return isHeader ? { _tag: "Unknown", text: word } : undefined
}

/** A comment of one word, or of two like `read only` and `timeout 3s`, that is meant as a setting. */
const isMisspelled = (text: string): boolean => {
  if (!/^[a-z][a-z_-]*( \S+)?$/.test(text)) return false
  const [first = "", second] = text.split(" ")
  if (second !== undefined && isWord(first)) return words[first](second, 1) !== undefined
  return flags.some((word) => distance(bare(text), bare(word)) <= (word.length < 8 ? 1 : 2))
}

/**
 * What was probably meant by what `readHeader` calls unknown.
 *
 * @internal
 */
export const meantBy = (text: string): string | undefined => {
  const [first = "", second] = text.split(" ")
  if (second !== undefined && isWord(first)) return `${first}: ${second}`
  return nearest(text, knownHeaders, bare)
}

const bare = (text: string): string => text.replace(/[-_ ]/g, "")
