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

/** A suite's subjects down, its cases across, and under it what the figures were taken on. */
export const markdownTable = (saved: Saved): string => {
  const cases = byCase(saved.results)
  const subjects = [...new Set(saved.results.map((result) => result.subject))]
  const spread = Math.max(...saved.results.map(({ max, median, min }) => (median > 0 ? (max - min) / median : 0)))
  const { cores, cpu, day, memoryGiB, node, peers, postgres } = saved.machine
  const versions = Object.entries(peers).map(([name, version]) => `${name} ${version}`)
  return [
    row([saved.about, ...cases.map(([name, of]) => `${name}, ${of[0]?.unit ?? ""}`)]),
    row(["---", ...cases.map(() => "---:")]),
    ...subjects.map((subject) => row([subject, ...cases.map(([, of]) => cellOf(subject, of))])),
    "",
    saved.rounds === 1
      ? `One round (×: against ${subjects[0] ?? ""}, over 1 is better).`
      : `Median of ${saved.rounds} rounds (×: against ${subjects[0] ?? ""}, over 1 is better; widest spread of a subject ${Math.round(spread * 100)} %).`,
    `${day}, ${cpu}, ${cores} cores, ${memoryGiB} GiB, node ${node}, PostgreSQL ${postgres}, ${versions.join(", ")}.`
  ].join("\n")
}
