/** The command on a real terminal, and what stands on its screen while queries run. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import * as Pg from "../../support/Pg.ts"
import * as Terminal from "../../support/Terminal.ts"
import type { TerminalModel } from "../../support/TerminalModel.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { bin, databaseUrl, environmentOf, run } from "./Command.ts"

/** Waits for the lock of that number. */
const stuck = (lock: number) => `select pg_advisory_xact_lock(${lock})`

const folderOf = (files: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "querypool-progress-"))
      for (const [name, sql] of Object.entries(files)) writeFileSync(join(folder, `${name}.sql`), sql)
      return folder
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )

interface Options {
  readonly columns?: number
  readonly rows?: number
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly node?: ReadonlyArray<string>
  readonly onChange?: (model: TerminalModel) => void
}

/** Starts `querypool run` on a terminal. Its first line is its process's number. */
const onTerminal = (files: Readonly<Record<string, string>>, options: Options = {}) =>
  Effect.gen(function* () {
    const { args = [], columns = 80, env, node = [], onChange, rows = 24 } = options
    const folder = yield* folderOf(files)
    const command = [process.execPath, "--conditions=@querypool/source", ...node, bin, "run", folder, ...args]
    return yield* Terminal.start(["/bin/sh", "-c", 'echo $$; exec "$0" "$@"', ...command], {
      columns,
      rows,
      env: environmentOf({ TERM: "xterm-256color", DATABASE_URL: yield* databaseUrl, ...env }),
      onChange
    })
  })

const shows = (terminal: Terminal.OnTerminal, text: string | RegExp) =>
  waitUntil(
    `the screen shows ${String(text)}`,
    Effect.sync(() =>
      terminal.model.screen.some((line) => (typeof text === "string" ? line.includes(text) : text.test(line)))
    )
  )

const pidOf = ({ model }: Terminal.OnTerminal): number => Number(model.everything[0])

const escape = "\u001B"
const styled = new RegExp(`${escape}\\[\\d+m`)

const drawsNothing = (terminal: Terminal.OnTerminal): void => {
  assert.isTrue(terminal.model.cursorShown)
  assert.notMatch(terminal.model.everything.join("\n"), /[█░]| of \d+ /)
}

/** A bar that never goes back, in a screen that nothing is too wide for. */
const watched = () => {
  let cells = 0
  let ended = 0
  return (model: TerminalModel): void => {
    assert.strictEqual(model.overflown, 0)
    const bar = model.screen.findLast((line) => /[█░]/.test(line))
    if (bar === undefined) return
    const now = Number(/ (\d+) of 16/.exec(bar)?.[1] ?? ended)
    assert.isAtLeast(now, ended)
    assert.isAtLeast([...bar].filter((cell) => cell === "█").length, cells)
    ended = now
    cells = [...bar].filter((cell) => cell === "█").length
  }
}

/** What was said, but for times, blanks, places and the order. */
const told = (lines: ReadonlyArray<string>) =>
  lines
    .map((line) =>
      line
        .replaceAll(/\d[\d.]* (?:ms|s)\b/g, "T")
        .replaceAll(/[ ─]+/g, " ")
        .replace(/at \S+:\d+:\d+$/, "")
        .trim()
    )
    .filter((line) => line !== "" && !line.startsWith("Lower bound"))
    .toSorted()

layer(Pg.layer("RunProgress"), { excludeTestServices: true })("the progress of a run", (it) => {
  it.effect.each([40, 80, 200])("stands at the bottom of a terminal of %d columns, and is gone in the end", (columns) =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      // Whichever of them started first: each sends rows, and then waits.
      const rows = `select n, case when n = 2500 then pg_advisory_xact_lock(1)::text end, repeat('x', 100)
        from generate_series(1, 2501) n`
      const files = Object.fromEntries(Array.from({ length: 13 }, (_, index) => [`q${index}`, rows]))
      const odd = {
        "顧客の一覧をすべて読み込む-顧客の一覧をすべて読み込む": rows,
        "family 👨‍👩‍👧‍👦 🇩🇪 ❤️": rows,
        a_first: "select 1 as first"
      }
      yield* observer.hold(1)
      const terminal = yield* onTerminal(
        { ...files, ...odd },
        { columns, rows: 30, args: ["--concurrency", "15", "--max-rows", "1"], onChange: watched() }
      )
      yield* shows(terminal, "1 of 16")
      yield* shows(terminal, "… and 6 more")
      yield* shows(terminal, /\d rows? +\d/)
      assert.isFalse(terminal.model.cursorShown)
      // What ended before stands above it.
      assert.include(terminal.model.screen.join("\n"), "a_first")
      yield* observer.release(1)
      assert.strictEqual(yield* terminal.ended, 0)
      drawsNothing(terminal)
      assert.match(terminal.model.everything.join("\n"), /16 queries: 16 succeeded/)
      assert.match(terminal.written(), new RegExp(`${styled.source}[█░]`))
    }).pipe(Effect.scoped)
  )

  it.effect("leaves of what is printed above it all that is printed without it", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const sql = Array.from({ length: 30 }, (_, index) =>
        [
          `-- name: notice_${index}\ndo $$ begin raise notice 'hello ${index}'; perform pg_sleep(0.02); end $$;`,
          `-- name: rows_${index}\nselect n, repeat('y', n) as y from generate_series(1, 5) n;`,
          `-- name: fails_${index}\nselect 1 / 0 as nothing;`
        ].join("\n")
      ).join("\n")
      yield* observer.hold(2)
      const terminal = yield* onTerminal({ all: `${sql}\n-- name: last\n${stuck(2)}` }, { columns: 200, rows: 50 })
      yield* shows(terminal, "90 of 91")
      yield* observer.release(2)
      assert.strictEqual(yield* terminal.ended, 1)
      drawsNothing(terminal)
      const plain = yield* run(`${sql}\n-- name: last\n${stuck(2)}`)
      assert.deepStrictEqual(
        told(terminal.model.everything.slice(1)),
        told(`${plain.stdout}\n${plain.stderr}`.split("\n"))
      )
    }).pipe(Effect.scoped)
  )

  it.effect("fits into a terminal that becomes narrower and wider, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(3)
      const name = "a_name_that_is_longer_than_most_others_are"
      const terminal = yield* onTerminal({ [name]: stuck(3), b: stuck(3) }, { columns: 80 })
      yield* shows(terminal, name)
      for (const columns of [30, 100, 45, 28, 80]) {
        terminal.resize(columns, 24)
        yield* shows(terminal, columns >= 80 ? name : /^ {2}a_nam.*…/)
        yield* shows(terminal, /^ {2}b +\d/)
      }
      yield* observer.release(3)
      assert.strictEqual(yield* terminal.ended, 0)
      assert.isTrue(terminal.model.cursorShown)
    }).pipe(Effect.scoped)
  )

  const isHeld = { held: stuck(4), other: stuck(4) }
  const ends = {
    "Ctrl-C": { by: (terminal: Terminal.OnTerminal) => terminal.type("\u0003"), code: 130 },
    SIGTERM: { by: (terminal: Terminal.OnTerminal) => void process.kill(pidOf(terminal), "SIGTERM"), code: 130 },
    SIGHUP: { by: (terminal: Terminal.OnTerminal) => void process.kill(pidOf(terminal), "SIGHUP"), code: 130 }
  }
  for (const [name, { by, code }] of Object.entries(ends)) {
    it.effect(`is gone after ${name}, and the cursor is back`, () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.hold(4)
        const terminal = yield* onTerminal(isHeld)
        yield* shows(terminal, "0 of 2")
        by(terminal)
        assert.strictEqual(yield* terminal.ended, code)
        drawsNothing(terminal)
        assert.match(terminal.model.everything.join("\n"), /2 cancelled/)
        yield* observer.release(4)
      }).pipe(Effect.scoped)
    )
  }

  it.effect("is gone after a second Ctrl-C, which leaves at once", () =>
    Effect.gen(function* () {
      // It takes the cancel for nothing, until it is terminated.
      const stubborn = `do $$ begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end $$`
      const terminal = yield* onTerminal({ stubborn })
      yield* shows(terminal, "0 of 1")
      let isOver = false
      yield* Effect.forkScoped(Effect.tap(terminal.ended, () => Effect.sync(() => (isOver = true))))
      yield* waitUntil(
        "it has ended",
        Effect.sync(() => {
          if (!isOver) terminal.type("\u0003")
          return isOver
        })
      )
      assert.strictEqual(yield* terminal.ended, 130)
      drawsNothing(terminal)
      assert.include(terminal.model.everything.join(""), "may still run: stubborn")
    }).pipe(Effect.scoped)
  )

  it.effect("is gone after a fault that nobody caught, and the cursor is back", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(5)
      const flag = join(yield* folderOf({}), "now")
      const fault = `data:text/javascript,import { existsSync } from "node:fs"; setInterval(() => { if (existsSync(${JSON.stringify(flag)})) throw new Error("a fault") }, 20).unref()`
      const terminal = yield* onTerminal({ held: stuck(5) }, { node: ["--import", fault] })
      yield* shows(terminal, "0 of 1")
      writeFileSync(flag, "")
      assert.notStrictEqual(yield* terminal.ended, 0)
      assert.isTrue(terminal.model.cursorShown)
      assert.notMatch(terminal.model.everything.join("\n"), /[█░]/)
      assert.include(terminal.model.everything.join("\n"), "a fault")
      yield* observer.release(5)
    }).pipe(Effect.scoped)
  )

  it.effect("does not keep a run from stopping its queries when its terminal is closed", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const terminal = yield* onTerminal({ slow: "select pg_sleep(600)" })
      yield* shows(terminal, "0 of 1")
      terminal.hangUp()
      // Standard output could not be written any more, either.
      assert.include([1, 130], yield* terminal.ended)
      yield* observer.gone
    }).pipe(Effect.scoped)
  )

  it.effect("has no colours where none are wanted", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(6)
      const terminal = yield* onTerminal({ held: stuck(6) }, { env: { NO_COLOR: "1" } })
      yield* shows(terminal, "0 of 1")
      yield* observer.release(6)
      assert.strictEqual(yield* terminal.ended, 0)
      assert.notMatch(terminal.written(), styled)
    }).pipe(Effect.scoped)
  )

  const without: Readonly<Record<string, Options>> = {
    "in CI": { env: { CI: "true" } },
    "on a dumb terminal": { env: { TERM: "dumb" } },
    "with --quiet": { args: ["--quiet"] },
    "with --json to the same terminal": { args: ["--json"] }
  }
  for (const [where, options] of Object.entries(without)) {
    it.effect(`is not drawn ${where}`, () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.hold(7)
        const terminal = yield* onTerminal({ held: stuck(7) }, options)
        yield* observer.seen("it is held", ({ wait }) => wait === "Lock:advisory")
        yield* observer.release(7)
        assert.strictEqual(yield* terminal.ended, 0)
        assert.notInclude(terminal.written(), "\u001B[?25l")
        drawsNothing(terminal)
      }).pipe(Effect.scoped)
    )
  }

  it.effect("has a line for each target", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(8)
      const url = yield* databaseUrl
      const folder = yield* folderOf({ targets: `berlin = ${url}\nparis = ${url}\n` })
      const files = { a: "select 1", b: stuck(8), c: stuck(8) }
      const terminal = yield* onTerminal(files, { args: ["--targets", join(folder, "targets.sql")] })
      yield* shows(terminal, /^ {2}berlin +2 running, 1 of 3 +\d/)
      yield* shows(terminal, /^ {2}paris +2 running, 1 of 3 +\d/)
      yield* shows(terminal, / 2 of 6 {2}4 running/)
      yield* observer.release(8)
      assert.strictEqual(yield* terminal.ended, 0)
      assert.isTrue(terminal.model.cursorShown)
      assert.notMatch(terminal.model.everything.join("\n"), /[█░]/)
    }).pipe(Effect.scoped)
  )

  it.effect("says nothing of a short run that is not on a terminal", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run("select 1")
      assert.deepStrictEqual({ code, stderr: stripVTControlCharacters(stderr) }, { code: 0, stderr: "" })
    })
  )
})
