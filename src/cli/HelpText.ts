/**
 * Help that fits a terminal of 80 cells: what is said of a flag goes on below itself.
 *
 * Effect lays help out, one line for each flag, and puts the choices of a flag behind what is said of it. So that is
 * broken before it is handed over, where the line would end otherwise.
 *
 * @internal
 */
import { Option } from "effect"
import type { HelpDoc } from "effect/cli"

const cells = 80
/** As `CliOutput.defaultFormatter` has it: before the names, and behind the longest of them. */
const margin = 2
const gap = 4
/** Of a flag whose type is the list of them. */
const choices = / \(choices: [^()]*\)$/

/** @internal */
export const fitted = (help: HelpDoc.HelpDoc): HelpDoc.HelpDoc => ({
  ...help,
  flags: fittedFlags(help.flags),
  ...(help.globalFlags === undefined ? {} : { globalFlags: fittedFlags(help.globalFlags) })
})

const fittedFlags = (flags: ReadonlyArray<HelpDoc.FlagDoc>): ReadonlyArray<HelpDoc.FlagDoc> => {
  const indent = margin + Math.max(0, ...flags.map((flag) => namesOf(flag).length)) + gap
  return flags.map((flag) => ({
    ...flag,
    description: Option.map(flag.description, (said) =>
      broken(flag.type.startsWith("<") ? said.replace(choices, "") : said, cells - indent).join(
        `\n${" ".repeat(indent)}`
      )
    )
  }))
}

const namesOf = ({ aliases, name, type }: HelpDoc.FlagDoc): string =>
  [`--${name}`, ...aliases].join(", ") + (type === "boolean" ? "" : ` ${type}`)

/** Between words, and rather before a parenthesis than in it. */
const broken = (text: string, width: number): ReadonlyArray<string> => {
  const lines = [""]
  for (const piece of text.split(/ (?=\()/).flatMap((part) => (part.length <= width ? part : part.split(" ")))) {
    const line = lines.at(-1) === "" ? piece : `${lines.at(-1)} ${piece}`
    if (line.length <= width) lines[lines.length - 1] = line
    else lines.push(piece)
  }
  return lines
}
