/** Tables of figures, for the terminal and for Markdown. Ratios are to the first subject of a case; over 1 is better. */
import type { Measurement, Saved } from "./Results.ts"

/** How many times as good as the first subject of its case, by the medians; over 1 is better. */
const ratioOf = (measurement: Measurement, first: Measurement): string => {
  const ratio = first.unit.endsWith("/s") ? measurement.median / first.median : first.median / measurement.median
  return Number.isFinite(ratio) ? ratio.toFixed(2) : "-"
}

/** Three or four figures: more would be noise. */
const figure = (value: number): string => {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

const byCase = (
  measurements: ReadonlyArray<Measurement>
): ReadonlyArray<readonly [string, ReadonlyArray<Measurement>]> =>
  Object.entries(Object.groupBy(measurements, (measurement) => measurement.case)).map(([name, of]) => [name, of ?? []])

const line = (subject: string, ...cells: ReadonlyArray<string>): string =>
  `${subject.padEnd(36)}${cells.map((cell) => cell.padStart(10)).join("")}`

/** The cases of one suite, at most 76 columns wide. */
export const terminalTable = (measurements: ReadonlyArray<Measurement>): string =>
  byCase(measurements)
    .flatMap(([name, of]) =>
      of.flatMap((measurement, index, [first = measurement]) => [
        ...(index === 0
          ? ["", line(`${measurement.suite}, ${name} (${measurement.unit})`, "median", "min", "max", "ratio")]
          : []),
        line(
          `  ${measurement.subject}`,
          figure(measurement.median),
          figure(measurement.min),
          figure(measurement.max),
          ratioOf(measurement, first)
        )
      ])
    )
    .join("\n")

const cellOf = (subject: string, of: ReadonlyArray<Measurement>): string => {
  const [first] = of
  const measurement = of.find((candidate) => candidate.subject === subject)
  if (first === undefined || measurement === undefined) return ""
  return `${figure(measurement.median)} (${ratioOf(measurement, first)} ×)`
}

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

type CaseOf = ReturnType<typeof byCase>[number]

/** Cases that have subjects in common, directly or by others between them, stand together. */
const tablesOf = (cases: ReadonlyArray<CaseOf>): ReadonlyArray<ReadonlyArray<CaseOf>> => {
  let tables: ReadonlyArray<ReadonlyArray<CaseOf>> = []
  const subjectsOf = (table: ReadonlyArray<CaseOf>) => table.flatMap(([, of]) => of.map(({ subject }) => subject))
  for (const one of cases) {
    const own = new Set(subjectsOf([one]))
    const { near = [], far = [] } = Object.groupBy(tables, (table) =>
      subjectsOf(table).some((subject) => own.has(subject)) ? "near" : "far"
    )
    tables = [...far, [...near.flat(), one]]
  }
  const place = (table: ReadonlyArray<CaseOf>) => Math.min(...table.map((one) => cases.indexOf(one)))
  return tables.toSorted((a, b) => place(a) - place(b))
}

const tableOf = (about: string, cases: ReadonlyArray<CaseOf>): ReadonlyArray<string> => {
  const subjects = [...new Set(cases.flatMap(([, of]) => of.map(({ subject }) => subject)))]
  return [
    row([about, ...cases.map(([name, of]) => `${name}, ${of[0]?.unit ?? ""}`)]),
    row(["---", ...cases.map(() => "---:")]),
    ...subjects.map((subject) => row([subject, ...cases.map(([, of]) => cellOf(subject, of))])),
    ""
  ]
}

/**
 * A suite's subjects down, its cases across, and under it what the figures were taken on. Cases without a subject in common
 * have tables of their own.
 */
export const markdownTable = (saved: Saved): string => {
  const tables = tablesOf(byCase(saved.results))
  const first = tables.length > 1 ? "the first of its column" : (saved.results[0]?.subject ?? "")
  const spread = Math.max(...saved.results.map(({ max, median, min }) => (median > 0 ? (max - min) / median : 0)))
  const { cores, cpu, day, memoryGiB, node, peers, postgres } = saved.machine
  const versions = Object.entries(peers).map(([name, version]) => `${name} ${version}`)
  return [
    ...tables.flatMap((cases) => tableOf(saved.about, cases)),
    saved.rounds === 1
      ? `One round (×: against ${first}, over 1 is better).`
      : `Median of ${saved.rounds} rounds (×: against ${first}, over 1 is better; widest spread of a subject ${Math.round(spread * 100)} %).`,
    `${day}, ${cpu}, ${cores} cores, ${memoryGiB} GiB, node ${node}, PostgreSQL ${postgres}, ${versions.join(", ")}.`
  ].join("\n")
}
