/**
 * What a run prints, and who prints it: the results for people (RunTables.ts) or for programs (RunDocument.ts), and
 * what is said beside them (RunAsides.ts).
 *
 * @internal
 */
import type { Output } from "./Output.ts"
import { asides } from "./RunAsides.ts"
import { outTable } from "./OutTables.ts"
import { document } from "./RunDocument.ts"
import { tables } from "./RunTables.ts"
import type { Teller } from "./Teller.ts"
import { tellAll } from "./Teller.ts"

/**
 * Tells people: of failures beside the results.
 *
 * @internal
 */
export const forPeople = (output: Output, quiet: boolean): Teller =>
  tellAll(asides(output, { quiet, failures: true }), quiet ? {} : output.toFiles ? outTable(output) : tables(output))

/**
 * Tells programs: of failures in the document, which begins with the fields of `head`.
 *
 * @internal
 */
export const forPrograms = (output: Output, quiet: boolean, head?: Parameters<typeof document>[1]): Teller =>
  tellAll(asides(output, { quiet, failures: false }), document(output, head))
