/**
 * A statement that stands inside another one: `select * from (<statement>) as part where …`.
 *
 * - Its text is one query (SELECT, VALUES, TABLE or WITH … SELECT) and nothing else. What is not is refused before
 *   anything is sent, with a sentence that says what to do.
 * - Parameters keep their numbers, and those around it come after them, whatever builder the statement is from.
 *
 * @internal
 */
import type { SqlClient } from "effect/sql/SqlClient"
import type { Fragment, Statement } from "effect/sql/Statement"
import * as Token from "../internal/sqlTokens.ts"
import type { Sql } from "./Query.ts"
import type { SqlPosition } from "./QueryError.ts"

/**
 * A text with its parameters, the first of which is `$1`.
 *
 * @internal
 */
export interface SqlText {
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
}

/** @internal */
export const textOf = (statement: Sql): SqlText => {
  if (!("sql" in statement)) {
    const [text, parameters] = statement.compile()
    return { text, parameters }
  }
  return { text: statement.sql, parameters: "params" in statement ? statement.params : statement.parameters }
}

/** On lines of its own: a comment at its end would swallow the parenthesis, and errors show one of its lines. */
const subqueryOf = (text: string): string => `(\n${text}\n) as part`

/**
 * A text around the statement, which may have more parameters: `first` is the number of the first of these. One line
 * stands before the statement, by which `placeIn` finds it again.
 *
 * @internal
 */
export const around = (
  inner: SqlText,
  outer: (subquery: string, first: number) => string,
  more: ReadonlyArray<unknown> = []
): SqlText => {
  const subquery = subqueryOf(inner.text)
  const text = outer(subquery, inner.parameters.length + 1)
  const before = text.slice(0, text.indexOf(subquery))
  return { text: before.replaceAll("\n", " ") + text.slice(before.length), parameters: [...inner.parameters, ...more] }
}

/** What stands for the rows until their text is known; nobody else's text has it. */
const mark = `"\u{e000}rows of the part\u{e000}"`

/**
 * The statement that `make` builds around some rows. Its own parameters come after theirs.
 *
 * A `string` says why that cannot be done.
 *
 * @internal
 */
export const built = (
  sql: SqlClient,
  make: (sql: SqlClient, rows: Fragment) => Statement<unknown>,
  rows: SqlText
): SqlText | string => {
  const statement = make(sql, sql.literal(mark))
  if (statement.segments.some((segment) => segment._tag === "Literal" && (segment.params?.length ?? 0) > 0)) {
    return "parameters given to `sql.unsafe` cannot be numbered anew. Write them as ${…} in the template of `each`"
  }
  const { parameters } = rows
  // Numbered as if the rows' own parameters stood before it.
  const [text, all] = parameters.length === 0 ? statement.compile() : sql`${sql.in(parameters)}${statement}`.compile()
  const before = parameters.length === 0 ? "" : `(${parameters.map((_, index) => `$${index + 1}`).join(",")})`
  const own = text.slice(before.length)
  if (!own.includes(mark)) {
    return "`each` does not read its part, so that each part would give the same. Write `from ${part}` in it"
  }
  return { text: own.replaceAll(mark, () => subqueryOf(rows.text)), parameters: all }
}

/**
 * Where in a statement an error stands that the server found in the text around it; `undefined` if it stands in that, or
 * if several lines may be meant.
 *
 * @internal
 */
export const placeIn = (text: string, { column, line, text: found }: SqlPosition): SqlPosition | undefined => {
  const all = text.split(/(\r\n|\r|\n)/)
  const lines = all.filter((_, index) => index % 2 === 0)
  const behindOne = line - 2
  const first = lines.indexOf(found)
  const at = lines[behindOne] === found ? behindOne : first === lines.lastIndexOf(found) ? first : -1
  if (at < 0) return undefined
  const before = all.slice(0, 2 * at).join("")
  return { offset: [...before].length + column, line: at + 1, column, text: found }
}

/**
 * Why a text is no query that can stand inside another one, if it is none.
 *
 * @internal
 */
export const faultOf = (text: string): string | undefined => {
  let depth = 0
  let first: string | undefined
  /** Where the first word stands, and behind WITH also the query itself. */
  let level = 0
  let previous = ""
  let isOver = false
  for (let at = Token.endOfGap(text, 0); at < text.length;) {
    const code = text.charCodeAt(at)
    const end = at === Token.unterminated ? at : Token.endOfToken(text, at, code)
    if (end === Token.unterminated) return "a string, a quoted name or a comment in it has no end"
    if (isOver && code !== Token.semicolon) return "it is more than one statement, where one is expected"
    isOver = code === Token.semicolon
    if (code === Token.openParen) depth++
    if (code === Token.closeParen && --depth < 0) return "it closes a parenthesis that it does not open"
    const word = text.slice(at, end).toLowerCase()
    if (Token.isWordStart(code) || code === Token.doubleQuote) {
      if (first === undefined) {
        first = word
        level = depth
        if (!queries.has(word)) return notAQuery(word)
      } else if (first === "with" && depth === level && !beforeName.has(previous)) {
        if (queries.has(word)) first = word
        else if (writes.has(word)) return notAQuery(`with … ${word}`)
      }
    }
    previous = word
    at = Token.endOfGap(text, end)
  }
  if (isOver) return "it ends in a semicolon. Leave that out"
  if (first === undefined) return "it is empty"
  return depth > 0 ? "it opens a parenthesis that it does not close" : undefined
}

const queries = new Set(["select", "values", "table", "with"])
const writes = new Set(["insert", "update", "delete", "merge"])
/** In WITH, what comes before a name, which may itself be called `values`. */
const beforeName = new Set(["with", "recursive", ","])

const notAQuery = (words: string): string => `${words.toUpperCase()} is no SELECT, VALUES, TABLE or WITH … SELECT`
