import type { Duration } from "effect"
import { assert, describe, it } from "vitest"
import type { Missed, Occurrence, Timetable } from "../../../src/task/TaskTimetable.ts"
import { cron, due, every, lateMillis, wakeAt, withJitter } from "../../../src/task/TaskTimetable.ts"
import { Dice } from "../../chaos/Dice.ts"

const at = (text: string): number => new Date(text).getTime()

/** The next occurrences, in UTC to the minute. */
const next = (
  expression: string,
  from: string,
  count: number,
  options: Parameters<typeof cron>[2] = { timeZone: "Europe/Berlin" }
): ReadonlyArray<string> => {
  const table = cron("s", expression, options)
  const moments: Array<string> = []
  for (let moment = at(from); moments.length < count;) {
    moment = table.next(moment)
    moments.push(new Date(moment).toISOString().replace(":00.000Z", ""))
  }
  return moments
}

/** Clocks go forward at 01:00 UTC, and back at 01:00 UTC. */
const spring = "2026-03-29T00:00Z"
const autumn = "2026-10-25T00:00Z"

const refused = (expected: string, make: () => unknown) =>
  it(`refuses ${expected}`, () => {
    assert.throws(make, RangeError, expected)
  })

describe("the calendar of a schedule", () => {
  it("has a time that does not exist on a day as much later as clocks go forward", () => {
    assert.deepStrictEqual(next("30 2 * * *", "2026-03-28T00:00Z", 3), [
      "2026-03-28T01:30", // 02:30
      "2026-03-29T01:30", // 03:30: there is no 02:30
      "2026-03-30T00:30" // 02:30
    ])
    assert.deepStrictEqual(next("30 2 * * *", "2026-03-08T00:00Z", 2, { timeZone: "America/New_York" }), [
      "2026-03-08T07:30",
      "2026-03-09T06:30"
    ])
  })

  it("has what comes to lie at one time but once", () => {
    assert.deepStrictEqual(next("0 2,3 * * *", spring, 2), ["2026-03-29T01:00", "2026-03-30T00:00"])
  })

  it("has the first alone of several times in an hour that does not exist", () => {
    assert.deepStrictEqual(next("0,30 2 * * *", spring, 3), [
      "2026-03-29T01:00",
      "2026-03-30T00:00",
      "2026-03-30T00:30"
    ])
  })

  it("has a time that exists twice the first time, and otherwise where that is said", () => {
    const afterwards = "2026-10-26T01:30"
    assert.deepStrictEqual(next("30 2 * * *", autumn, 2), ["2026-10-25T00:30", afterwards])
    const timeZone = "Europe/Berlin"
    assert.deepStrictEqual(next("30 2 * * *", autumn, 2, { timeZone, repeatedHour: "later" }), [
      "2026-10-25T01:30",
      afterwards
    ])
    assert.deepStrictEqual(next("30 2 * * *", autumn, 3, { timeZone, repeatedHour: "both" }), [
      "2026-10-25T00:30",
      "2026-10-25T01:30",
      afterwards
    ])
  })

  it("leaves no hour out of a schedule for every hour, when clocks go forward and when they go back", () => {
    for (const expression of ["0 * * * *", "0 0-23 * * *", "0 */1 * * *"]) {
      for (const day of [spring, autumn]) {
        const hours = Array.from({ length: 5 }, (_, index) => new Date(at(day) + (index + 1) * 3_600_000).toISOString())
        assert.deepStrictEqual(
          next(expression, day, 5),
          hours.map((hour) => hour.replace(":00.000Z", ""))
        )
      }
    }
    assert.deepStrictEqual(next("*/30 * * * *", autumn, 5), [
      "2026-10-25T00:30",
      "2026-10-25T01:00",
      "2026-10-25T01:30",
      "2026-10-25T02:00",
      "2026-10-25T02:30"
    ])
  })

  it("knows leap days and the ends of months", () => {
    assert.deepStrictEqual(next("0 0 29 2 *", "2026-01-01T00:00Z", 2, {}), ["2028-02-29T00:00", "2032-02-29T00:00"])
    assert.deepStrictEqual(next("0 0 29 2 *", "2096-03-01T00:00Z", 1, {}), ["2104-02-29T00:00"])
    assert.deepStrictEqual(next("0 0 31 * *", "2026-01-31T00:00Z", 3, {}), [
      "2026-03-31T00:00",
      "2026-05-31T00:00",
      "2026-07-31T00:00"
    ])
  })

  it("is that of UTC where no zone is named, and takes an offset for a zone", () => {
    assert.deepStrictEqual(next("0 12 * * *", spring, 1, {}), ["2026-03-29T12:00"])
    assert.deepStrictEqual(next("0 12 * * *", spring, 1, { timeZone: "+02:00" }), ["2026-03-29T10:00"])
  })

  refused(
    'Expected `cron` of schedule "s" to be minute, hour, day of the month, month and day of the week, such as "30 2 * * *", got "daily"',
    () => cron("s", "daily", {})
  )
  refused('got "61 * * * *": Expected a value between 0 and 59, and not "61"', () => cron("s", "61 * * * *", {}))
  refused('Expected `cron` of schedule "s" to name a day that there is, got "0 0 30 2 *", which never comes', () =>
    cron("s", "0 0 30 2 *", {})
  )
  refused('Expected `timeZone` of schedule "s" to be a name such as "Europe/Berlin", got "Europe/Atlantis"', () =>
    cron("s", "0 0 * * *", { timeZone: "Europe/Atlantis" })
  )
  for (const interval of [0, -1, 0.5, "Infinity", "100 micros"] satisfies ReadonlyArray<Duration.Input>) {
    refused(`Expected \`every\` of schedule "s" to be whole milliseconds from 1, got ${interval}`, () =>
      every("s", interval)
    )
  }
  refused('Expected `jitter` of schedule "s" to be whole milliseconds from 0, got -1', () =>
    withJitter(every("s", 10), -1)
  )
  refused('Expected `jitter` of schedule "s" to be shorter than the 10ms between two of its occurrences, got 10', () =>
    withJitter(every("s", 10), 10)
  )
  refused("shorter than the 1m between two of its occurrences, got 1 hour", () =>
    withJitter(cron("s", "0,59 0,23 * * *", {}), "1 hour")
  )
})

describe("the interval of a schedule", () => {
  it("has its multiples as moments, whenever one looks", () => {
    const { next: after } = every("s", "10 seconds")
    assert.deepStrictEqual([-1, 0, 1, 9999, 10_000].map(after), [0, 10_000, 10_000, 10_000, 20_000])
  })
})

const expressions = [
  "* * * * *",
  "30 2 * * *",
  "0,30 2 * * *",
  "15,45 1-3 * * *",
  "0 */6 * * *",
  "*/7 * * * *",
  "0 0 1,31 * *",
  "59 23 * * 0",
  "10,20 0 2,3 * * *"
] as const
const zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"] as const

interface Round {
  readonly timetable: Timetable
  readonly cursor: number
  readonly now: number
  readonly told: string
}

/** A schedule and two moments that follow from a seed, many of them on days on which clocks are changed. */
const roundOf = (seed: number): Round => {
  const dice = new Dice(seed)
  const expression = dice.pick(expressions)
  const timeZone = dice.pick(zones)
  const table = dice.chance(0.8)
    ? cron("s", expression, { timeZone, repeatedHour: dice.pick([undefined, "earlier", "later", "both"]) })
    : every("s", dice.pick([1000, 60_000, 7_777_777]))
  const hour = 3_600_000
  const day = at(dice.pick([spring, autumn, "2026-03-08T00:00Z", "2026-11-01T00:00Z", "2028-02-28T00:00Z"]))
  const cursor = day + dice.between(-12 * hour, 12 * hour)
  const now = cursor + dice.pick([dice.between(0, 60_000), dice.between(0, 3 * hour), dice.between(0, 12 * hour)])
  const timetable = withJitter(table, dice.pick([0, 0, 900]))
  return { timetable, cursor, now, told: `seed ${seed}: ${expression} ${timeZone}, ${cursor} to ${now}` }
}

/** All that is due, one after the other. */
const enumerated = ({ cursor, now, timetable }: Round): ReadonlyArray<Occurrence> => {
  const occurrences: Array<Occurrence> = []
  for (let before = cursor, due = wakeAt(timetable, before); due <= now; due = wakeAt(timetable, before)) {
    before = timetable.next(before)
    occurrences.push({ moment: before, at: due })
  }
  return occurrences
}

/** What is offered when one looks at these moments, until nothing more is due at each. */
const looked = ({ cursor, timetable }: Round, looks: ReadonlyArray<number>, missed: Missed, most: number) => {
  const offered: Array<Occurrence> = []
  let place = cursor
  for (const now of looks) {
    const dueAt = () => due(timetable, { cursor: place, missed, most, now })
    for (let one = dueAt(); one !== undefined; one = dueAt()) {
      offered.push(...one.occurrences)
      place = one.to
    }
  }
  return { offered, place }
}

describe("what is due of a schedule", () => {
  const rounds = Array.from({ length: 200 }, (_, seed) => roundOf(seed))

  it("is each occurrence of the meantime where all are wanted, however often one looks", () => {
    for (const [seed, round] of rounds.entries()) {
      const { cursor, now, told } = round
      const expected = enumerated(round)
      const dice = new Dice(seed)
      const between = Array.from({ length: 5 }, () => dice.between(cursor, now)).toSorted((a, b) => a - b)
      for (const looks of [[now], [...between, now]]) {
        const { offered, place } = looked(round, looks, "all", dice.between(1, 7))
        assert.deepStrictEqual(offered, expected, told)
        assert.strictEqual(place, expected.at(-1)?.moment ?? cursor, told)
      }
    }
  })

  it("is the last one where one is wanted for all, and where none is, only if it is in time", () => {
    let skipped = 0
    for (const round of rounds) {
      const { now, told } = round
      const last = enumerated(round).at(-1)
      const once = looked(round, [now], "once", 1)
      assert.deepStrictEqual(once.offered, last === undefined ? [] : [last], told)
      const inTime = last !== undefined && now - last.at <= lateMillis
      const skip = looked(round, [now], "skip", 1)
      assert.deepStrictEqual(skip.offered, inTime ? [last] : [], told)
      assert.strictEqual(skip.place, once.place, told)
      if (last !== undefined && !inTime) skipped++
    }
    assert.isAbove(skipped, 20)
  })

  it("is nothing until one is to wake, and something then", () => {
    for (const { cursor, timetable, told } of rounds) {
      const wake = wakeAt(timetable, cursor)
      const dueAt = (now: number) => due(timetable, { cursor, missed: "all", most: 9, now })
      assert.isUndefined(dueAt(wake - 1), told)
      assert.deepStrictEqual(dueAt(wake)?.occurrences, [{ moment: timetable.next(cursor), at: wake }], told)
    }
  })

  it("is found in few steps also where one has not looked for years", () => {
    let steps = 0
    const { next: after } = every("s", 1000)
    const table = {
      name: "s",
      next: (moment: number) => {
        steps++
        return after(moment)
      }
    }
    const now = at("2036-01-01T00:00:00.500Z")
    const last = due(withJitter(table, 0), { cursor: 0, missed: "once", most: 1, now })
    assert.strictEqual(last?.to, at("2036-01-01T00:00Z"))
    assert.isBelow(steps, 50)
  })
})

const jitters = (name: string, table = every(name, 10_000), count = 1000, jitter = 9999) => {
  const timetable = withJitter(table, jitter)
  const by: Array<number> = []
  for (let moment = at("2026-03-28T00:00Z"); by.length < count;) {
    const wake = wakeAt(timetable, moment)
    moment = timetable.next(moment)
    by.push(wake - moment)
  }
  return by
}

describe("the jitter of a schedule", () => {
  it("is bounded and spread over all of its range, a tenth in each tenth", () => {
    const by = jitters("s")
    assert.isTrue(by.every((millis) => millis >= 0 && millis <= 9999))
    const tenths = Array.from(
      { length: 10 },
      (_, tenth) => by.filter((millis) => Math.floor(millis / 1000) === tenth).length
    )
    // Of 1,000 a tenth is 100, and its standard deviation 9.5.
    assert.isTrue(
      tenths.every((count) => count > 60 && count < 140),
      tenths.join()
    )
    assert.sameMembers([...new Set(jitters("s", every("s", 10), 1000, 3))], [0, 1, 2, 3])
  })

  it("follows from the schedule's name and the moment alone, and hangs together with no other", () => {
    assert.deepStrictEqual(jitters("s"), jitters("s"))
    const [one, other] = [jitters("s"), jitters("t")]
    const same = one.filter((millis, index) => Math.abs(millis - (other[index] ?? 0)) < 100).length
    assert.isBelow(same, 50)
    const alike = one.filter((millis, index) => Math.abs(millis - (one[index + 1] ?? 0)) < 100).length
    assert.isBelow(alike, 50)
  })

  it("has no occurrence overtake the next, also where clocks bring them closer together", () => {
    const berlin = cron("s", "0 1,3 * * *", { timeZone: "Europe/Berlin" })
    for (let seed = 0; seed < 50; seed++) {
      const timetable = withJitter({ ...berlin, name: `s${seed}` }, "119 minutes")
      const first = at("2026-03-29T00:00Z")
      const wake = wakeAt(timetable, first - 1)
      assert.isTrue(wake >= first && wake < first + 3_600_000)
    }
  })
})
