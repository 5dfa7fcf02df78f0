/**
 * From the report to what its page is given: smaller, and with nothing in it that acts when it is shown.
 *
 * - Texts are shown as they are but for characters that would reorder or hide others, which become escapes.
 * - The SQL of all queries together is bounded, so that ten thousand of them make a page that opens at once. What failed
 *   keeps its SQL first, then what ran longest. Long messages are cut, too. The JSON report has all of it.
 *
 * @internal
 */
import type * as ReportDocument from "../../query/ReportDocument.ts"
import { toLine } from "../TextValue.ts"
import type { Extra, PackedQuery, PackedSegments, PageData, PageFailure, PageRun } from "./page/PageData.ts"
import { kinds, outcomes } from "./page/PageData.ts"
import { steps } from "./Ticks.ts"

/** Characters of the SQL of all queries together, and of one. */
const mostSql = 1_000_000
const mostOfOne = 20_000

/** Characters of one message. */
const mostOfMessage = 4_000

/** Of parts of all queries together, which are as much as queries are. */
const mostParts = 20_000

const micros = (millis: number): number => Math.round(millis * 1000)

const cut = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most).toWellFormed()} … (${text.length - most} more characters)`

/** Lines stay lines. */
const block = (text: string): string =>
  text
    .split(/\r\n|[\r\n]/)
    .map((line) => line.split("\t").map(toLine).join("\t"))
    .join("\n")

const line = (text: string): string => toLine(cut(text, mostOfMessage))

const segmentsOf = (segments: ReportDocument.Part["segments"]): PackedSegments => [
  micros(segments[0]?.fromMillis ?? 0),
  ...segments.flatMap(({ attempt, kind, toMillis, worker }) => [
    kinds.indexOf(kind),
    micros(toMillis),
    worker ?? -1,
    attempt
  ])
]

const failureOf = (failure: ReportDocument.Failure): PageFailure => {
  const { detail, excerpt, hint, message, outcome, place, reason, sqlState } = failure
  return {
    reason: toLine(reason),
    message: line(message),
    outcome,
    ...(sqlState === undefined ? {} : { sqlState: toLine(sqlState) }),
    ...(detail === undefined ? {} : { detail: line(detail) }),
    ...(hint === undefined ? {} : { hint: line(hint) }),
    ...(place === undefined ? {} : { place: `${toLine(place.file)}:${place.line}:${place.column}` }),
    ...(excerpt === undefined ? {} : { excerpt: block(cut(excerpt, mostOfMessage)) })
  }
}

/** Texts that are put in the page once, however many share them. */
class Texts {
  readonly all: Array<string> = []
  private readonly places = new Map<string, number>()

  has(text: string): boolean {
    return this.places.has(text)
  }

  placeOf(text: string): number {
    const known = this.places.get(text)
    if (known !== undefined) return known
    this.places.set(text, this.all.length)
    return this.all.push(text) - 1
  }
}

const extraOf = (part: ReportDocument.Part): Extra => {
  const { cancel, error, failedAttempts } = part
  return {
    ...(error === undefined ? {} : { error: failureOf(error) }),
    ...(failedAttempts.length === 0
      ? {}
      : { failedAttempts: failedAttempts.map((one) => ({ ...one, error: failureOf(one.error) })) }),
    ...(cancel === undefined ? {} : { cancel })
  }
}

const packedOf = (part: ReportDocument.Part, source: readonly [number, number, number], extra: Extra): PackedQuery => {
  const { attempts, name, outcome, rows, segments } = part
  const packed = [toLine(name), outcomes.indexOf(outcome), rows, attempts, segmentsOf(segments), ...source] as const
  return Object.keys(extra).length === 0 ? packed : [...packed, extra]
}

/** The queries that keep their SQL. */
const withSql = (runs: ReadonlyArray<ReportDocument.Run>): ReadonlySet<ReportDocument.Query> => {
  const kept = new Set<ReportDocument.Query>()
  const seen = new Set<string>()
  let left = mostSql
  const queries = runs.flatMap((run) => run.queries)
  for (const query of queries.toSorted(
    (a, b) => Number(b.error !== undefined) - Number(a.error !== undefined) || b.ranMillis - a.ranMillis
  )) {
    if (query.source === undefined) continue
    const { sql } = query.source
    const length = seen.has(sql) ? 0 : Math.min(sql.length, mostOfOne)
    if (length > left) continue
    left -= length
    seen.add(sql)
    kept.add(query)
  }
  return kept
}

/** @internal */
export const pageDataOf = ({ generator, runs }: ReportDocument.Document): PageData => {
  const texts = new Texts()
  const kept = withSql(runs)
  let withoutSql = 0
  let partsLeft = mostParts

  const runOf = (run: ReportDocument.Run): PageRun => {
    const { criticalPath, database, name, queries, unreachable, ...facts } = run
    const places = new Map(queries.map((query, index) => [query.name, index]))
    const placesOf = (names: ReadonlyArray<string>) => names.flatMap((one) => places.get(one) ?? [])
    const queryOf = (query: ReportDocument.Query): PackedQuery => {
      const { because, moreNotices, needs, notices, parts, source, tags } = query
      if (source !== undefined && !kept.has(query)) withoutSql++
      const shown = parts.slice(0, partsLeft)
      partsLeft -= shown.length
      const pairs = Object.entries(tags)
      return packedOf(
        query,
        source === undefined
          ? [-1, 0, -1]
          : [
              texts.placeOf(toLine(source.file)),
              source.line,
              kept.has(query) ? texts.placeOf(block(cut(source.sql, mostOfOne))) : -1
            ],
        {
          ...extraOf(query),
          ...(because === undefined ? {} : { because: toLine(because) }),
          ...(needs.length === 0 ? {} : { needs: placesOf(needs) }),
          ...(pairs.length === 0 ? {} : { tags: pairs.map(([key, value]) => toLine(`${key}=${value}`)) }),
          ...(notices.length === 0
            ? {}
            : { notices: notices.map(({ message, severity }) => line(`${severity}: ${message}`)) }),
          ...(moreNotices === 0 ? {} : { moreNotices }),
          ...(shown.length === 0 ? {} : { parts: shown.map((part) => packedOf(part, [-1, 0, -1], extraOf(part))) })
        }
      )
    }
    return {
      ...facts,
      ...(name === undefined ? {} : { name: toLine(name) }),
      ...(database === undefined ? {} : { database: toLine(database) }),
      ...(unreachable === undefined ? {} : { unreachable: line(unreachable) }),
      criticalPath: placesOf(criticalPath),
      queries: queries.map(queryOf)
    }
  }

  const packed = runs.map(runOf)
  return { generator: toLine(generator), steps, texts: texts.all, withoutSql, runs: packed }
}
