import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { areaOf, countsOf } from "../../../../src/cli/report/page/Counts.ts"
import { draw } from "../../../../src/cli/report/page/Drawing.ts"
import type { Lane } from "../../../../src/cli/report/page/Lanes.ts"
import { barAt, firstAfter, lanesOf, placeOf } from "../../../../src/cli/report/page/Lanes.ts"
import { holdsSession, needsOf } from "../../../../src/cli/report/page/Model.ts"
import { many, mixed, runOf, six } from "../../../support/ReportSamples.ts"
import { unpacked } from "./Samples.ts"

const sizes = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 90 }))
const seeds = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))
const arbitrary = { runs: 30, seed: 5, size: 40 }

const groupOf = (lanes: ReadonlyArray<Lane>, group: Lane["group"]) => lanes.filter((lane) => lane.group === group)

const shortNamesOf = (run: Parameters<typeof unpacked>[0]) =>
  unpacked(run)
    .items.slice(0, 2)
    .map(({ short }) => short)

const waitsOf = (run: Parameters<typeof unpacked>[0]) =>
  new Set(groupOf(lanesOf(unpacked(run)).lanes, "waiting").flatMap(({ bars }) => bars.map(({ fill }) => fill)))

const rectangles = (path: string | undefined) => path?.match(/M/g)?.length ?? 0

describe("a run as the page has it", () => {
  it.prop(
    "is the run of the report, with the same times",
    [sizes, seeds],
    ([size, seed]) => {
      const document = mixed(size, { seed })
      const { items } = unpacked(document)
      for (const [index, query] of document.queries.entries()) {
        const item = items[index]
        assert.deepInclude(item, {
          name: query.name,
          outcome: query.outcome,
          rows: query.rows,
          attempts: query.attempts
        })
        assert.closeTo(item?.ran ?? -1, query.ranMillis, 0.01)
        assert.closeTo(item?.waited ?? -1, query.waitedMillis, 0.01)
        assert.deepStrictEqual(
          item?.spans.map(({ attempt, kind, to }) => [kind, attempt, to]),
          query.segments.map(({ attempt, kind, toMillis }) => [kind, attempt, toMillis])
        )
        assert.deepStrictEqual(item === undefined ? [] : needsOf(items, item).map(({ name }) => name), query.needs)
        assert.lengthOf(item?.parts ?? [], query.parts.length)
      }
    },
    { arbitrary }
  )

  it("has short names where all begin alike", () => {
    assert.deepStrictEqual(shortNamesOf(many(3)), ["…00000/refresh", "…00001/refresh"])
    assert.deepStrictEqual(shortNamesOf(six()), ["01-tellers", "02-accounts-per-branch"])
  })
})

describe("the lanes of the picture", () => {
  it.prop(
    "show each attempt once, on the lane of its worker, and no two of them over each other",
    [sizes, seeds],
    ([size, seed]) => {
      const run = unpacked(mixed(size, { seed }))
      const { height, lanes, places } = lanesOf(run)
      const held = run.items.flatMap((item) => item.spans.filter(holdsSession).map((span) => ({ item, span })))
      const workers = groupOf(lanes, "workers")
      assert.strictEqual(
        workers.reduce((sum, { bars }) => sum + bars.length, 0),
        held.length
      )
      for (const { item, span } of held) {
        const lane = workers[span.worker]
        assert.isTrue(lane?.bars.some(({ from, item: of, to }) => of === item && from === span.from && to === span.to))
      }
      const parts = run.items.flatMap((item) => item.parts.flatMap((part) => part.spans.filter(holdsSession)))
      assert.strictEqual(
        groupOf(lanes, "parts").reduce((sum, { bars }) => sum + bars.length, 0),
        parts.length
      )
      for (const { bars, height: own, top } of lanes) {
        assert.isAtMost(top + own, height)
        for (const [index, bar] of bars.entries()) {
          if (index > 0) assert.isAtLeast(bar.from, bars[index - 1]?.to ?? 0)
          assert.isTrue(places.get(bar.item)?.some((place) => place.bar === bar))
        }
      }
    },
    { arbitrary }
  )

  it("show the waits of few queries one by one, and of many only those for another attempt", () => {
    assert.deepStrictEqual([...waitsOf(six(3))], ["waiting"])
    assert.deepStrictEqual([...waitsOf(many(900))], ["retrying"])
  })

  it("tell an attempt that was followed by another from one that was the last", () => {
    const run = unpacked(runOf([{ name: "a", millis: 30, retries: 1, error: "no" }], { concurrency: 1 }))
    const [lane] = lanesOf(run).lanes
    assert.deepStrictEqual(
      lane?.bars.map(({ attempt, fill }) => [attempt, fill]),
      [
        [1, "retried"],
        [2, "failed"]
      ]
    )
    assert.strictEqual(placeOf(lanesOf(run), run.items[0] ?? assert.fail())?.bar.attempt, 2)
  })

  it.prop(
    "find the bar at a time, or the nearest within reach",
    [seeds, Schema.Finite.check(Schema.isBetween({ minimum: -0.1, maximum: 1.1 }))],
    ([seed, share]) => {
      const run = unpacked(mixed(40, { seed }))
      const at = share * run.makespanMillis
      for (const lane of lanesOf(run).lanes.filter(({ bars }) => bars.length > 0)) {
        const first = lane.bars.findIndex(({ to }) => to > at)
        assert.strictEqual(firstAfter(lane, at), first === -1 ? lane.bars.length : first)
        const distances = lane.bars.map(({ from, to }) => Math.max(from - at, at - to, 0))
        const least = Math.min(...distances)
        assert.strictEqual(distances[lane.bars.indexOf(barAt(lane, at) ?? assert.fail())], least)
        assert.strictEqual(barAt(lane, at, least / 2) === undefined, least > 0)
      }
    },
    { arbitrary }
  )
})

describe("the drawing of lanes", () => {
  const run = unpacked(many(10_000))
  const { lanes } = lanesOf(run)
  const whole = { from: 0, to: run.makespanMillis, width: 1200 }

  it("draws ten thousand bars as a few paths that do not grow with them, and each failure by itself", () => {
    const { labels, paths } = draw(lanes, whole)
    const length = paths.values().reduce((sum, path) => sum + path.length, 0)
    assert.isBelow(length, 200_000)
    assert.isBelow(labels.length, 100)
    assert.isAbove(rectangles(paths.get("dense")), 100)
    const failed = run.items.filter(({ outcome }) => outcome === "failed")
    assert.strictEqual(rectangles(paths.get("failed")), failed.length)
    for (const [, width] of (paths.get("failed") ?? "").matchAll(/h([\d.]+)v/g)) assert.isAtLeast(Number(width), 2)
  })

  it("draws what is zoomed into bar by bar, with their names", () => {
    const view = { from: 5000, to: 5100, width: 1200 }
    const { labels, paths } = draw(lanes, view)
    const shown = lanes
      .filter(({ group }) => group === "workers")
      .flatMap(({ bars }) => bars.filter(({ from, to }) => to > view.from && from <= view.to))
    const drawn = paths.values().reduce((sum, path) => sum + rectangles(path), 0)
    assert.isAtLeast(drawn, shown.length)
    assert.isFalse(paths.has("dense"))
    assert.isNotEmpty(labels)
    for (const { text } of labels) assert.match(text, /^(tenant_|…)\d/)
  })
})

describe("the counts over time", () => {
  it.prop(
    "are never more than run at once, and as many at some time",
    [sizes, seeds],
    ([size, seed]) => {
      const run = unpacked(mixed(size, { seed }))
      const view = { from: 0, to: run.makespanMillis * 1.01, width: 500 }
      const running = countsOf(run.items, new Set(["running", "cancelling"]), view)
      assert.isAtMost(running.most, run.concurrency)
      assert.isAtMost(Math.max(...running.columns), running.most)
      assert.lengthOf(running.columns, 500)
      assert.match(areaOf(running, running.most, 20), /^M0 20(H\d+V[\d.]+)*H500V20Z$/)
    },
    { arbitrary }
  )

  it("count one that takes another's place only after that has left", () => {
    const run = unpacked(six(1))
    const view = { from: 0, to: run.makespanMillis, width: 300 }
    assert.strictEqual(countsOf(run.items, new Set(["running"]), view).most, 1)
    assert.strictEqual(countsOf(run.items, new Set(["waiting"]), view).most, 5)
  })
})
