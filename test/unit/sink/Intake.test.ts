import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"
import type { Flow } from "../../../src/query/RowReceiver.ts"
import type { Encoder } from "../../../src/sink/Encoder.ts"
import { Intake } from "../../../src/sink/Intake.ts"
import { NotEncodable, SinkError } from "../../../src/sink/SinkError.ts"
import { below, fewTurns, forSeeds } from "../../support/Chaos.ts"
import { dataRows } from "../../support/dataRows.ts"
import { lineFormat } from "../../support/lineFormat.ts"

const columns = [{ name: "a", typeOid: 25, typeModifier: -1 }]
const mebibyte = 1024 * 1024

/** A flow that knows whether it is paused. */
const makeFlow = () => {
  const flow = {
    paused: false,
    pause: () => {
      flow.paused = true
    },
    resume: () => {
      flow.paused = false
    }
  }
  return flow
}

const give = (intake: Intake, rows: ReadonlyArray<ReadonlyArray<string>>): void => {
  const bytes = Buffer.concat([Buffer.from("before"), dataRows(rows), Buffer.from("after")])
  intake.rows(bytes, 6, bytes.length - 5)
  // They are the socket's again.
  bytes.fill(0)
}

/** All that is to be written, as text; each piece is written after `wait`. */
const drain = (intake: Intake, wait: Effect.Effect<unknown> = Effect.void) =>
  Effect.gen(function* () {
    let text = ""
    for (let chunks = yield* intake.next; chunks.length > 0; chunks = yield* intake.next) {
      for (const chunk of chunks) {
        yield* wait
        text += Buffer.from(chunk).toString()
        intake.written(chunk.length)
      }
    }
    return text
  })

const begun = Effect.fnUntraced(function* (intake: Intake, flow: Flow, pieceBytes: number) {
  intake.columns(columns, flow)
  intake.begin(yield* lineFormat({ pieceBytes }).encoder(columns))
})

describe("Intake", () => {
  it.effect("keeps rows that come before their encoder, and lets the server wait for it", () =>
    Effect.gen(function* () {
      const intake = new Intake()
      const flow = makeFlow()
      intake.columns(columns, flow)
      give(intake, [["1"], ["2"]])
      assert.isTrue(flow.paused)
      give(intake, [["3"]])
      assert.deepStrictEqual(yield* intake.header, columns)
      intake.begin(yield* lineFormat().encoder(columns))
      assert.isFalse(flow.paused)
      give(intake, [["4"]])
      intake.complete()
      assert.strictEqual(yield* drain(intake), '["a"]\n["1"]\n["2"]\n["3"]\n["4"]\n')
      assert.strictEqual(intake.encoded, 4)
    })
  )

  it.effect("lets the server go on waiting where what came early is enough by itself", () =>
    Effect.gen(function* () {
      const intake = new Intake()
      const flow = makeFlow()
      intake.columns(columns, flow)
      give(intake, [["x".repeat(2 * mebibyte)]])
      intake.begin(yield* lineFormat({ pieceBytes: 1000 }).encoder(columns))
      assert.isTrue(flow.paused)
      intake.complete()
      yield* drain(intake)
      assert.isFalse(flow.paused)
    })
  )

  it.effect("lets a session wait that begins while the file is behind", () =>
    Effect.gen(function* () {
      const intake = new Intake()
      const [first, second] = [makeFlow(), makeFlow()]
      yield* begun(intake, first, 1000)
      give(intake, [["x".repeat(2 * mebibyte)]])
      intake.columns(columns, second)
      assert.deepStrictEqual([first.paused, second.paused], [true, true])
      intake.complete()
      yield* drain(intake)
      assert.deepStrictEqual([first.paused, second.paused], [false, false])
    })
  )

  it("gives an encoder that has failed nothing more", () => {
    const intake = new Intake()
    let added = 0
    intake.columns(columns, makeFlow())
    intake.begin({
      add: () => {
        added++
        throw new SinkError({ reason: new NotEncodable({ message: "no" }) })
      },
      take: () => [],
      end: () => []
    })
    give(intake, [["1"]])
    give(intake, [["2"]])
    assert.strictEqual(added, 1)
  })

  it.effect("knows of no columns when the statement has ended without", () =>
    Effect.gen(function* () {
      const intake = new Intake()
      const header = yield* Effect.forkChild(intake.header, { startImmediately: true })
      intake.complete()
      assert.isUndefined(yield* Fiber.join(header))
    })
  )

  it.effect("lets the server wait from a megabyte on, and until half of that is written", () =>
    Effect.gen(function* () {
      const intake = new Intake()
      const flow = makeFlow()
      yield* begun(intake, flow, 1)
      let given = 0
      while (!flow.paused) {
        give(intake, [["x".repeat(1000)]])
        given += 1000
      }
      assert.isAtLeast(given, 0.95 * mebibyte)
      assert.isAtMost(given, mebibyte)
      let written = 0
      const chunks = yield* intake.next
      for (const chunk of chunks) {
        assert.isTrue(flow.paused || written > mebibyte / 2)
        intake.written(chunk.length)
        written += chunk.length
      }
      assert.isFalse(flow.paused)
      intake.complete()
      yield* drain(intake)
    })
  )

  it.effect("fails with what the encoder throws, a SinkError as one and anything else as a defect", () =>
    Effect.gen(function* () {
      const error = new SinkError({ reason: new NotEncodable({ message: "no" }) })
      const bug = new Error("bug")
      for (const thrown of [error, bug]) {
        for (const at of ["add", "end"] as const) {
          const intake = new Intake()
          intake.columns(columns, makeFlow())
          const encoder: Encoder = {
            add: () => {
              if (at === "add") throw thrown
              return 1
            },
            take: () => [],
            end: () => {
              throw thrown
            }
          }
          intake.begin(encoder)
          const reading = yield* Effect.forkChild(intake.next, { startImmediately: true })
          give(intake, [["1"]])
          give(intake, [["2"]])
          intake.complete()
          const exit = yield* Fiber.await(reading)
          assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === thrown)
          assert.strictEqual(Exit.isFailure(exit) && Cause.hasDies(exit.cause), thrown === bug)
        }
      }
    })
  )

  it.live("gives everything once and in order, in bounded memory, whoever is slower", () =>
    forSeeds(60, (seed) =>
      Effect.gen(function* () {
        const intake = new Intake()
        const flow = makeFlow()
        const total = yield* below(400)
        const size = 1 + (yield* below(20_000))
        const format = lineFormat({ pieceBytes: 1 + (yield* below(300_000)) })
        const isSlow = (yield* below(2)) === 0
        let given = 0
        let ready = 0
        let mostReady = 0
        const source = Effect.gen(function* () {
          yield* fewTurns
          intake.columns(columns, flow)
          while (given < total) {
            yield* fewTurns
            if (flow.paused) continue
            const count = Math.min(1 + (yield* below(5)), total - given)
            give(
              intake,
              Array.from({ length: count }, (_, n) => [`${given + n} ${"x".repeat(size)}`])
            )
            given += count
            ready += count * size
            mostReady = Math.max(mostReady, ready)
          }
          intake.complete()
        })
        const reader = Effect.gen(function* () {
          const header = yield* intake.header
          assert.deepStrictEqual(header, columns)
          yield* fewTurns
          intake.begin(yield* format.encoder(columns))
          let text = ""
          for (let chunks = yield* intake.next; chunks.length > 0; chunks = yield* intake.next) {
            for (const chunk of chunks) {
              if (isSlow) yield* fewTurns
              text += Buffer.from(chunk).toString()
              ready -= chunk.length
              intake.written(chunk.length)
            }
          }
          return text
        })
        const [, text] = yield* Effect.all([source, reader], { concurrency: 2 })
        const lines = text.trimEnd().split("\n")
        assert.deepStrictEqual(
          lines.slice(1).map((line) => Number.parseInt(line.slice(2), 10)),
          Array.from({ length: total }, (_, n) => n),
          String(seed)
        )
        assert.strictEqual(intake.encoded, total)
        // What is ready, what the encoder keeps, and one more delivery.
        assert.isAtMost(mostReady, mebibyte + 300_000 + 5 * size)
      })
    )
  )
})
