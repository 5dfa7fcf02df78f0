/**
 * `:name` in the SQL of files: a value that `--param name=value` gives, bound by the server and never part of the text.
 *
 * - What is sent has `$1` in the place of `:name`, and the value beside it as text; the server finds out its type, as of
 *   any literal in quotes. So no value can become SQL, and each `:name` of a statement is one parameter.
 * - `$1` is padded to the length of `:name`, so that the server's positions hold for the file, too.
 * - A colon is part of SQL in `a::int`, `a := 1` and `a[1:n]`: a parameter's name follows the colon at once, and before
 *   the colon stands no other one, no word, no number and no closing bracket or quote. Strings, names in quotes and
 *   comments hold no parameters.
 * - A parameter without a value, a value that no query asks for, and `$1` are refused before anything is run.
 *
 * @internal
 */
import { Effect } from "effect"
import { nearest } from "../internal/editDistance.ts"
import * as Token from "../internal/sqlTokens.ts"
import type { SqlText } from "../query/Subquery.ts"
import { UsageError } from "./CliFailure.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { advance } from "./SqlPlace.ts"
import type { SqlStatement } from "./SqlSplitter.ts"
import { toLine } from "./TextValue.ts"

type Values = ReadonlyMap<string, string>

const namePattern = /^[A-Za-z_][A-Za-z0-9_]*$/

const usage = (message: string) => new UsageError({ message })

/**
 * The values of `--param name=value`.
 *
 * @internal
 */
export const readValues = Effect.fnUntraced(function* (
  flags: ReadonlyArray<string>
): Effect.fn.Return<Values, UsageError> {
  const values = new Map<string, string>()
  for (const flag of flags) {
    const equals = flag.indexOf("=")
    const name = flag.slice(0, Math.max(equals, 0))
    if (!namePattern.test(name)) {
      // What stands behind the first sign may be a secret, and is not to be shown.
      const shown = equals < 0 ? flag : `${name}=…`
      return yield* usage(
        `--param "${toLine(shown)}": expected name=value, such as since=2026-01-01, with a name of letters, digits and _`
      )
    }
    if (values.has(name)) return yield* usage(`--param ${name} is given twice. Give it once`)
    values.set(name, flag.slice(equals + 1))
  }
  return values
})

/** A parameter in a statement's text. */
interface Place {
  /** `:name`; psql's `:'name'` and `:"name"`, which put a value into the text; or `$1`. */
  readonly kind: "named" | "spliced" | "numbered"
  readonly name: string
  /** Of its first character, and behind its last. */
  readonly at: number
  readonly end: number
}

const colon = 0x3a

const placesIn = (text: string): ReadonlyArray<Place> => {
  const places: Array<Place> = []
  let free = true
  // Of a slice without a lower bound, whose upper one may be a name in quotes: `a[:"n"]`.
  let inSlice = false
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at)
    const next = text.charCodeAt(at + 1)
    let end = at + 1
    if (Token.isSpace(code)) free = true
    else if (code === Token.dash && next === Token.dash) end = Token.endOfLine(text, at)
    else if (code === Token.slash && next === Token.star) end = Token.endOfBlockComment(text, at)
    else if (code === colon) {
      const [found, name, , quotedName] = parameterPattern.exec(text.slice(at, at + longestName)) ?? []
      if (free && found !== undefined && !(inSlice && name === undefined)) {
        end = at + found.length
        places.push({ kind: name === undefined ? "spliced" : "named", name: name ?? quotedName ?? "", at, end })
      }
      free = false
    } else {
      end = Token.endOfToken(text, at, code)
      if (code === Token.dollar && isDigit(next)) places.push({ kind: "numbered", name: text.slice(at, end), at, end })
      inSlice = code === openBracket
      free = end === at + 1 && !closing.has(code) && !Token.isWordStart(code) && !isDigit(code)
    }
    if (end === Token.unterminated) return places
    at = end
  }
  return places
}

/** PostgreSQL cuts longer names to 63 bytes; nobody types one of a thousand. */
const longestName = 1000
const parameterPattern = /^:(?:([A-Za-z_][A-Za-z0-9_]*)|(['"])([A-Za-z_][A-Za-z0-9_]*)\2)/
const openBracket = 0x5b
/** `)`, `]` */
const closing: ReadonlySet<number> = new Set([Token.closeParen, 0x5d])
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39

/** Whether it is a prepared statement or a function, which have numbers of their own. */
const hasNumbers = (text: string): boolean => /^(?:prepare|create)\b/i.test(text.slice(Token.endOfGap(text, 0)))

/**
 * The statement as it is sent.
 *
 * @internal
 */
export const sentOf = (statement: SqlStatement): SqlText => statement.bound ?? { text: statement.text, parameters: [] }

const bind = (text: string, places: ReadonlyArray<Place>, values: Values): SqlText => {
  // The shortest first: a number of two digits has no room in the place of a name of one letter, and would move the
  // server's positions behind it by one.
  const names = [...new Set(places.map(({ name }) => name))].toSorted((one, other) => one.length - other.length)
  let sent = ""
  let from = 0
  for (const { at, end, name } of places) {
    sent += text.slice(from, at) + `$${names.indexOf(name) + 1}`.padEnd(end - at)
    from = end
  }
  return { text: sent + text.slice(from), parameters: names.map((name) => values.get(name)) }
}

/**
 * The queries with their parameters bound. Fails for the first parameter that has no value, and for a value that none
 * of them asks for.
 *
 * @internal
 */
export const withParameters = Effect.fnUntraced(function* <Q extends FileQuery>(
  queries: ReadonlyArray<Q>,
  values: Values
): Effect.fn.Return<ReadonlyArray<Q>, UsageError> {
  const asked = new Set<string>()
  const bound: Array<Q> = []
  for (const query of queries) {
    const statements: Array<SqlStatement> = []
    for (const statement of query.statements) {
      const places = placesIn(statement.text).filter(({ kind }) => kind !== "numbered" || !hasNumbers(statement.text))
      for (const place of places) {
        const { at, kind, name } = place
        const { column, line } = advance(query.source.text, statement, statement.offset + at)
        const where = `${query.file}:${line}:${column}`
        if (kind === "numbered") {
          return yield* usage(
            `${where}: query "${toLine(query.name)}" has a parameter ${name}, which nothing gives a value. ` +
              `Give it a name: :name, and --param name=value`
          )
        }
        if (kind === "spliced") {
          return yield* usage(
            `${where}: ${statement.text.slice(at, place.end)} is psql's way of putting a value into the text. ` +
              `Write :${name}, which is bound`
          )
        }
        if (!values.has(name)) {
          return yield* usage(
            `${where}: query "${toLine(query.name)}" has a parameter :${name}. Give its value: --param ${name}=value`
          )
        }
        asked.add(name)
      }
      statements.push(places.length === 0 ? statement : { ...statement, bound: bind(statement.text, places, values) })
    }
    bound.push({ ...query, statements })
  }
  for (const name of values.keys()) {
    if (asked.has(name)) continue
    const meant = nearest(name, asked)
    return yield* usage(
      `--param ${name}: no query has a parameter :${name}. ` +
        (asked.size === 0
          ? "None has any"
          : meant === undefined
            ? `There are: ${[...asked].map((one) => `:${one}`).join(", ")}`
            : `Did you mean "${meant}"?`)
    )
  }
  return bound
})
