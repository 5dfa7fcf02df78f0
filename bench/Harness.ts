/**
 * Measures one case, so that its subjects meet the same conditions.
 *
 * First every subject does one round and all answers must be equal; a case whose subjects differ fails before any time
 * is taken. Then in each round every subject has one turn, which it takes twice, and the second time counts. The next
 * round starts one subject later: A B C, B C A, C A B. So a drift of the machine meets all of them, and nobody is
 * always first. Every later answer is compared too: a subject that goes wrong under load fails the case.
 *
 * Of a case that is measured once, the round that compares is the one that counts.
 */
import { Console, Effect } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Measurement } from "./Results.ts"
import type { Answer, Case, Effort, Subject } from "./Suite.ts"
import { BenchError } from "./Suite.ts"

export interface Statistics {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Median (of an even number of values: the mean of the two in the middle), least and greatest. */
export const statistics = (values: ReadonlyArray<number>): Statistics => {
  const sorted = values.toSorted((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]]
  if (min === undefined || max === undefined || low === undefined || high === undefined) {
    throw new RangeError("Expected at least one value")
  }
  return { median: (low + high) / 2, min, max }
}

/** The items in the order of a round: rotated to the left by one more place each round. */
export const rotated = <A>(items: ReadonlyArray<A>, round: number): ReadonlyArray<A> => {
  const places = items.length === 0 ? 0 : round % items.length
  return [...items.slice(places), ...items.slice(0, places)]
}

/** Checks that the subjects agree, then measures them; one measurement per subject, in the order given. */
export const measure = Effect.fnUntraced(function* (
  suite: string,
  case_: Omit<Case, "subjects">,
  subjects: ReadonlyArray<Subject>,
  { rounds }: Pick<Effort, "rounds">
): Effect.fn.Return<ReadonlyArray<Measurement>, BenchError> {
  const title = `${suite}, ${case_.name}`
  yield* Console.error(`${title}: comparing ${subjects.map((subject) => subject.name).join(", ")}`)
  const answers: Array<readonly [string, Answer]> = []
  const values = new Map(subjects.map((subject) => [subject.name, new Array<number>()]))
  for (const { name, round } of subjects) {
    const { answer, measured } = yield* round
    answers.push([name, answer])
    if (case_.once === true) values.get(name)?.push(case_.value(measured))
  }
  yield* agree(title, answers)

  for (let round = 0; round < (case_.once === true ? 0 : rounds); round++) {
    yield* Console.error(`${title}: round ${round + 1} of ${rounds}`)
    for (const subject of rotated(subjects, round)) {
      collectGarbage()
      // Warm again: between its turns the others' code and the collection have driven out what V8 had compiled for it,
      // and whoever follows a subject that shares its driver would be ahead (0.82 for what is 1.00).
      yield* subject.round
      const { answer, measured } = yield* subject.round
      yield* agree(title, [...answers, [`${subject.name} in a later round`, answer]])
      values.get(subject.name)?.push(case_.value(measured))
    }
  }
  return subjects.map(({ name }) => ({
    suite,
    case: case_.name,
    subject: name,
    unit: case_.unit,
    ...statistics(values.get(name) ?? [])
  }))
})

const agree = (title: string, answers: ReadonlyArray<readonly [string, Answer]>): Effect.Effect<void, BenchError> => {
  const lines = answers.map(([name, answer]) => ({ name, text: JSON.stringify(answer) }))
  if (lines.every((line) => line.text === lines[0]?.text)) return Effect.void
  const shown = lines.map((line) => `  ${line.name}: ${line.text}`).join("\n")
  return Effect.fail(new BenchError({ message: `${title}: the subjects disagree\n${shown}` }))
}

// Without it the garbage of one subject is collected, and paid for, in the next one's round. Set here rather than as a
// flag of node, so that every way of starting the bench has it.
setFlagsFromString("--expose-gc")
const gc: unknown = runInNewContext("gc")
export const collectGarbage = (): void => {
  if (typeof gc === "function") gc()
}
