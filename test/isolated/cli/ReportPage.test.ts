/** The page of a report in a browser, as people have it: opened from a file, by mouse and by keyboard. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { Page } from "playwright-core"
import { page as pageOf } from "../../../src/cli/report/Page.ts"
import type * as ReportDocument from "../../../src/query/ReportDocument.ts"
import * as Browser from "../../support/Browser.ts"
import { hostileDocument } from "../../support/HostileTexts.ts"
import { documentOf, many, mixed, runOf, six } from "../../support/ReportSamples.ts"

/** Opens the page of a report, does something there, and sees that it said nothing and asked for nothing. */
const visit = (
  document: ReportDocument.Document,
  work: (page: Page) => Promise<void>,
  look?: Parameters<typeof Browser.open>[1]
) =>
  Effect.gen(function* () {
    const { heard, page } = yield* Browser.open(pageOf(document), look)
    yield* Effect.promise(() => work(page))
    assert.deepStrictEqual(heard, [])
  }).pipe(Effect.scoped)

const chart = (page: Page) => page.locator(".chart")
const tip = (page: Page) => page.locator(".tip")
const details = (page: Page) => page.getByRole("complementary")
const rows = (page: Page) => page.locator(".grid tbody tr[id]")
const namesOf = (page: Page) => rows(page).locator("td.name bdi").allTextContents()
const press = async (page: Page, ...keys: ReadonlyArray<string>) => {
  for (const key of keys) await page.keyboard.press(key)
}
/** What is drawn is drawn in the next frame. */
const drawn = (page: Page) =>
  page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))")
const numberOf = (page: Page, script: string): Promise<number> => page.evaluate<number>(script)
const ticksOf = (page: Page) => page.locator("text.tick").allTextContents()

const sixty = documentOf(mixed(60))
const cancelled = documentOf(mixed(60, { cancelAt: 300, seed: 4 }))
const large = documentOf(many(10_000))

describe.skipIf(Browser.program === undefined)("the page of a report", () => {
  layer(Browser.Browser.layer, { excludeTestServices: true })("in chromium", (it) => {
    it.effect.each<readonly [number, ReportDocument.Document]>([
      [6, documentOf(six())],
      [60, sixty],
      [10_000, large]
    ])("opens from a file with %d queries, without a network or a word on the console", ([size, document]) =>
      visit(document, async (page) => {
        await drawn(page)
        assert.strictEqual(await page.title(), `querypool: ${size.toLocaleString("en")} queries${failed[size] ?? ""}`)
        assert.include(await page.locator("output").textContent(), size.toLocaleString("en"))
        assert.isAbove(await page.locator(".plot .ink[d^=M]").count(), 0)
        assert.isAtLeast((await ticksOf(page)).length, 3)
        // Not one for each query.
        assert.isBelow(await numberOf(page, "document.querySelectorAll('*').length"), 3_500)
      })
    )

    it.effect("shows whatever anybody wrote as text, wherever it is shown", () =>
      visit(hostileDocument(), async (page) => {
        const untouched = async () => {
          assert.isTrue(await page.evaluate<boolean>("window.hacked === undefined"))
          assert.strictEqual(await numberOf(page, "document.scripts.length"), 2)
          const strangers =
            "img, iframe, style:not(head > *), base, a, object, embed, form, b, [onload], [onerror], [onfocus]"
          assert.strictEqual(await numberOf(page, `document.querySelectorAll(${JSON.stringify(strangers)}).length`), 0)
          assert.strictEqual(
            await numberOf(
              page,
              "[...document.querySelectorAll('*')].filter((element) => [...element.attributes].some(({ name }) => name.startsWith('on'))).length"
            ),
            0
          )
        }
        for (const run of await page.locator(".runs button").all()) {
          await run.click()
          await untouched()
        }
        for (const summary of await page.locator(".failures summary").all()) await summary.click()
        const count = await rows(page).count()
        for (let index = 0; index < count; index++) {
          await page.locator("[role=grid]").focus()
          await press(page, index === 0 ? "Home" : "ArrowDown", "Enter")
          await details(page).waitFor()
          await untouched()
        }
        await chart(page).focus()
        await press(page, ...Array.from({ length: 12 }, () => "ArrowRight"), "ArrowDown", "ArrowRight", "ArrowDown")
        await page.getByRole("searchbox").fill("<script>")
        await drawn(page)
        await untouched()
        assert.include((await namesOf(page)).join("\n"), "</script><script>window.hacked=1</script>")
      })
    )

    it.effect("lets nothing run that came into it all the same", () =>
      Effect.gen(function* () {
        const { heard, page } = yield* Browser.open(pageOf(documentOf(six())))
        const run = (script: string) =>
          Effect.promise(() =>
            page.evaluate<string>(`(() => { try { ${script}; return "done" } catch (error) { return error.name } })()`)
          )
        assert.strictEqual(yield* run("document.body.innerHTML = '<b>'"), "TypeError")
        // What a debugger evaluates may make functions of text; what the page itself does may not.
        yield* run("setTimeout('window.hacked = 1', 0)")
        yield* run("document.body.setAttribute('onclick', 'window.hacked = 1'); document.body.click()")
        yield* run(
          "const image = document.createElement('img'); image.src = 'http://evil.test/a.png'; document.body.append(image)"
        )
        yield* run("fetch('http://evil.test/').catch(() => {})")
        yield* Effect.promise(() => drawn(page))
        assert.isTrue(yield* Effect.promise(() => page.evaluate<boolean>("window.hacked === undefined")))
        const refused = heard.filter((line) => line.startsWith("error")).join("\n")
        for (const what of [
          "'TrustedHTML'",
          "'TrustedScript'",
          "the image 'http://evil.test/a.png'",
          "to 'http://evil.test/'"
        ]) {
          assert.include(refused, what)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("is read by keyboard alone: from bar to bar, into the details and out again", () =>
      visit(sixty, async (page) => {
        // Past what failed and the buttons to zoom.
        for (let tabs = 0; tabs < 40 && !(await chart(page).evaluate((element) => element.matches(":focus"))); tabs++)
          await press(page, "Tab")
        await tip(page).waitFor()
        const first = await tip(page).locator("strong").textContent()
        assert.strictEqual(first, "import/orders_0")
        await press(page, "ArrowRight")
        await drawn(page)
        assert.strictEqual(await tip(page).locator("strong").textContent(), "finance/customers_6")
        assert.match(
          (await page.locator("[aria-live=polite].unseen").textContent()) ?? "",
          /^finance\/customers_6\. succeeded\. ran/
        )
        await press(page, "ArrowDown", "ArrowDown", "ArrowDown", "Home", "ArrowRight", "Enter")
        await drawn(page)
        assert.strictEqual(
          await details(page).getByRole("heading", { level: 2 }).textContent(),
          "finance/revenue_per_month_18"
        )
        assert.isAbove(((await page.locator("path.links").getAttribute("d")) ?? "").length, 0)
        // What it needs is one tab away, and can be opened from there.
        await press(page, "Tab", "Tab")
        assert.strictEqual(
          await page.evaluate<string>("document.activeElement.textContent"),
          "shipping/revenue_per_month_3"
        )
        await press(page, "Enter")
        assert.strictEqual(
          await details(page).getByRole("heading", { level: 2 }).textContent(),
          "shipping/revenue_per_month_3"
        )
        await press(page, "Escape")
        await details(page).waitFor({ state: "hidden" })
        assert.isTrue(await chart(page).evaluate((element) => element.matches(":focus")))
      })
    )

    it.effect("has a mark on what has the focus, wherever that is", () =>
      visit(documentOf(six(), { ...six(1), name: "one by one" }), async (page) => {
        const seen = new Set<string>()
        for (let tabs = 0; tabs < 40; tabs++) {
          await press(page, "Tab")
          const focus = await page.evaluate<{ readonly tag: string; readonly outline: string }>(
            "({ tag: document.activeElement.tagName + document.activeElement.className, outline: getComputedStyle(document.activeElement).outlineStyle })"
          )
          if (focus.tag.startsWith("BODY")) break
          assert.notStrictEqual(focus.outline, "none", focus.tag)
          seen.add(focus.tag)
        }
        assert.isAtLeast(seen.size, 4)
      })
    )

    it.effect("is zoomed by keys, by dragging, in the strip and by its buttons, and comes back", () =>
      visit(large, async (page) => {
        const whole = await ticksOf(page)
        const isWhole = async () => {
          await drawn(page)
          return JSON.stringify(await ticksOf(page)) === JSON.stringify(whole)
        }
        await chart(page).focus()
        await press(page, "End", "+", "+", "+", "+")
        assert.isFalse(await isWhole())
        assert.isAbove(await page.locator(".texts text").count(), 0)
        await press(page, "0")
        assert.isTrue(await isWhole())
        const lanes = await page.locator("svg.lanes").boundingBox()
        const strip = await page.locator("svg.overview").boundingBox()
        if (lanes === null || strip === null) return assert.fail("they have no place")
        const drag = async (y: number) => {
          await page.mouse.move(lanes.x + 300, y)
          await page.mouse.down()
          await page.mouse.move(lanes.x + 360, y, { steps: 3 })
          await page.mouse.up()
        }
        await drag(lanes.y + 40)
        assert.isFalse(await isWhole())
        await press(page, "Escape")
        assert.isTrue(await isWhole())
        await drag(strip.y + 20)
        assert.isFalse(await isWhole())
        await page.getByRole("button", { name: "Show all of the run" }).click()
        assert.isTrue(await isWhole())
        await page.getByRole("button", { name: "Zoom in" }).click()
        assert.isFalse(await isWhole())
        await page.getByRole("button", { name: "Zoom out" }).click()
        assert.isTrue(await isWhole())
      })
    )

    it.effect("says of what is pointed at what it is, also where it is too narrow to be seen", () =>
      visit(large, async (page) => {
        const lanes = await page.locator("svg.lanes").boundingBox()
        if (lanes === null) return assert.fail("they have no place")
        for (const x of [200, 203, 206]) {
          await page.mouse.move(lanes.x + x, lanes.y + 40)
          await drawn(page)
          assert.match((await tip(page).textContent()) ?? "", /^tenant_\d{5}\/refresh/)
        }
        await page.mouse.click(lanes.x + 206, lanes.y + 40)
        const name = await tip(page).locator("strong").textContent()
        assert.strictEqual(await details(page).getByRole("heading", { level: 2 }).textContent(), name)
      })
    )

    it.effect("finds among ten thousand queries those that a word or an outcome means", () =>
      visit(large, async (page) => {
        await page.getByRole("searchbox").fill("tenant_07")
        await drawn(page)
        assert.strictEqual(await page.locator("output").textContent(), "1,000 of 10,000 queries")
        await page.getByRole("searchbox").fill("")
        await page.getByRole("button", { name: "failed 8" }).click()
        assert.strictEqual(await rows(page).count(), 8)
        await page.getByRole("button", { name: "all 10,000" }).click()
        await page.locator("[role=grid]").focus()
        await press(page, "End")
        await drawn(page)
        assert.strictEqual(await page.locator("tr.active td.name").textContent(), "tenant_09999/refresh")
      })
    )

    it.effect("sorts its table one way, the other way, and as the run has it", () =>
      visit(sixty, async (page) => {
        const asRun = await namesOf(page)
        const head = page.locator("th.ran")
        const ran = async () => rows(page).locator("td.ran").first().textContent()
        await head.getByRole("button").click()
        assert.strictEqual(await head.getAttribute("aria-sort"), "descending")
        assert.strictEqual(await ran(), "848 ms")
        await head.getByRole("button").click()
        assert.strictEqual(await head.getAttribute("aria-sort"), "ascending")
        await head.getByRole("button").focus()
        await press(page, "Enter")
        assert.isNull(await head.getAttribute("aria-sort"))
        assert.deepStrictEqual(await namesOf(page), asRun)
      })
    )

    it.effect("tells of a failure with its place, its line and a caret, and of what was skipped because of it", () =>
      visit(sixty, async (page) => {
        const failure = page.locator(".failures details").first()
        assert.include((await failure.textContent()) ?? "", 'column "totl" does not exist (42703)')
        assert.include((await failure.locator("pre").textContent()) ?? "", "select totl from invoice\n       ^")
        assert.include((await failure.textContent()) ?? "", "queries/daily/returns_29.sql:4:8")
        await page.getByRole("button", { name: "skipped 1" }).click()
        assert.include(
          (await rows(page).first().textContent()) ?? "",
          "skipped because daily/returns_29 did not succeed"
        )
      })
    )

    it.effect("tells of attempts, needs, parts, tags and SQL of a query", () =>
      visit(sixty, async (page) => {
        const textOf = async (name: string): Promise<string> => {
          await page.getByRole("searchbox").fill(name)
          await drawn(page)
          await rows(page).first().click()
          return (await details(page).textContent()) ?? ""
        }
        const retried = await textOf("shipping/orders_15")
        for (const text of [
          "attempt 1: deadlock detected (40P01)",
          "waited for attempt 2",
          "shipping/customers_11",
          "team=finance"
        ])
          assert.include(retried, text)
        const cut = await textOf("shipping/customers_11")
        for (const text of ["8 parts", "shipping/customers_11 [8/8]", "Is needed by", "group by customer_id"])
          assert.include(cut, text)
        await details(page).getByRole("button", { name: "[3/8]" }).click()
        assert.include((await details(page).textContent()) ?? "", "Part of")
      })
    )

    it.effect("tells of queries that were cancelled how they stopped, and gives no lower bound then", () =>
      visit(cancelled, async (page) => {
        await page.getByRole("button", { name: "cancelled 6" }).click()
        await rows(page).first().click()
        assert.match((await details(page).textContent()) ?? "", /it did not stop|the server stopped it in/)
        assert.include((await page.locator(".legend").textContent()) ?? "", "being cancelled")
        assert.notInclude((await page.locator("main").textContent()) ?? "", "ower bound")
        assert.strictEqual(await page.locator("path.bound").getAttribute("d"), "")
      })
    )

    it.effect("shows the runs of several databases, one at a time", () =>
      visit(
        documentOf({ ...six(1), name: "berlin" }, { ...six(5), name: "paris", unreachable: "no route to host" }),
        async (page) => {
          assert.strictEqual(await page.locator("text.lane", { hasText: /^worker/ }).count(), 1)
          await page.getByRole("button", { name: "paris" }).click()
          await drawn(page)
          assert.strictEqual(await page.locator("text.lane", { hasText: /^worker/ }).count(), 5)
          assert.include((await page.locator(".failures").textContent()) ?? "", "no route to host")
        }
      )
    )

    it.effect("says of many runs which ones something went wrong with", () => {
      const targets = Array.from({ length: 12 }, (_, index) => ({ ...six(2), name: `shop ${index}` }))
      const [berlin, paris, ...others] = targets
      const failing = { ...mixed(60), name: "failing" }
      return visit(
        documentOf(
          { ...six(2), ...berlin },
          { ...six(2), ...paris, unreachable: "no route to host" },
          failing,
          ...others
        ),
        async (page) => {
          const names = await page.getByLabel("Run", { exact: true }).locator("option").allTextContents()
          assert.deepStrictEqual(names.slice(0, 4), ["shop 0", "shop 1: unreachable", "failing: 2 failed", "shop 2"])
        }
      )
    })

    it.effect("goes back to where the details of a query were opened", () =>
      visit(sixty, async (page) => {
        const focused = () => page.evaluate<string>("document.activeElement.getAttribute('role')")
        await page.locator("[role=grid]").focus()
        await press(page, "Home", "ArrowDown", "Enter")
        await details(page).waitFor()
        await details(page).getByRole("button", { name: "Close the details" }).focus()
        await press(page, "Enter")
        await details(page).waitFor({ state: "hidden" })
        assert.strictEqual(await focused(), "grid")
        await press(page, "Enter")
        await details(page).getByRole("button", { name: "Close the details" }).focus()
        await press(page, "Escape")
        assert.strictEqual(await focused(), "grid")
        await chart(page).focus()
        await press(page, "Enter")
        await details(page).getByRole("button", { name: "Close the details" }).focus()
        await press(page, "Escape")
        assert.strictEqual(await focused(), "application")
      })
    )

    it.effect.each([1400, 600])("has room for what is long, on %d pixels", (width) =>
      visit(
        documentOf(
          runOf(
            Array.from({ length: 4 }, (_, id) => ({
              name: `${"folder".repeat(30)}/q${id}`,
              millis: 3_599_000 + id * 42 * 3_600_000,
              error: "long ".repeat(200) + "x".repeat(2000)
            })),
            { concurrency: 2 }
          )
        ),
        async (page) => {
          await drawn(page)
          for (const failure of await page.locator(".failures summary").all()) {
            assert.isBelow((await failure.boundingBox())?.height ?? Infinity, 80)
            const [triangle, headline] = [await failure.boundingBox(), await failure.locator(".headline").boundingBox()]
            assert.isBelow((headline?.y ?? Infinity) - (triangle?.y ?? 0), 4)
          }
          const cut = await page.evaluate<ReadonlyArray<string>>(
            "[...document.querySelectorAll('td.ran, td.start, td.waited')].filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)"
          )
          assert.deepStrictEqual(cut, [])
          assert.include(await page.locator("td.ran").allTextContents(), "59 min 59 s")
          await page.locator(".failures summary").first().click()
          assert.include((await page.locator(".failure").first().textContent()) ?? "", "x".repeat(2000))
        },
        { width }
      )
    )

    it.effect("is there for a run of nothing", () =>
      visit(documentOf(runOf([], { concurrency: 5 })), async (page) => {
        await drawn(page)
        assert.include((await page.locator("output").textContent()) ?? "", "0 queries")
        await chart(page).focus()
        await press(page, "ArrowRight", "ArrowDown", "Enter", "+", "Escape")
      })
    )

    it.effect.each(["light", "dark"] as const)(
      "has texts that can be read in %s, on what they stand on",
      (colorScheme) =>
        visit(
          sixty,
          async (page) => {
            await rows(page).first().click()
            await chart(page).focus()
            await drawn(page)
            const unreadable = await page.evaluate<ReadonlyArray<string>>(readability)
            assert.deepStrictEqual(unreadable, [])
            const paper = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor")
            assert.strictEqual(paper, colorScheme === "dark" ? "rgb(20, 24, 29)" : "rgb(255, 255, 255)")
          },
          { colorScheme }
        )
    )

    it.effect.each([800, 600, 1400])("fits %d pixels, with details and without", (width) =>
      visit(
        sixty,
        async (page) => {
          const overflow = () =>
            numberOf(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
          await drawn(page)
          assert.strictEqual(await overflow(), 0)
          assert.isAbove((await page.locator("th.lives").boundingBox())?.width ?? 0, 80)
          await rows(page).first().click()
          await drawn(page)
          assert.strictEqual(await overflow(), 0)
          assert.isAbove((await page.locator("th.name").boundingBox())?.width ?? 0, 80)
        },
        { width }
      )
    )

    it.effect("is printed with its failures open and its first rows, and without what is for a screen", () =>
      visit(large, async (page) => {
        await page.evaluate(
          "window.addEventListener('beforeprint', () => { window.printed = document.querySelectorAll('.grid tbody tr[id]').length })"
        )
        await page.emulateMedia({ media: "print" })
        assert.isAbove((await page.pdf()).length, 10_000)
        assert.strictEqual(await numberOf(page, "window.printed"), 300)
        assert.isBelow(await rows(page).count(), 400)
        assert.isFalse(await page.locator(".keys").isVisible())
        assert.isFalse(await page.locator(".zoom").isVisible())
        await page.emulateMedia({ media: "screen" })
        await drawn(page)
        assert.isBelow(await rows(page).count(), 100)
      })
    )
  })
})

const failed: Readonly<Record<number, string>> = { 60: ", 2 failed", 10_000: ", 8 failed" }

/** Texts whose contrast to the nearest background is less than 4.5 (WCAG 2.2, 1.4.3). */
const readability = `(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number)
  const luminance = ([r, g, b]) => [r, g, b]
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0)
  const groundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor)
      if (color.length === 3 || color[3] === 1) return color
    }
    return [255, 255, 255]
  }
  return [...document.querySelectorAll("body *:not(script):not(noscript)")].flatMap((element) => {
    if (element.closest("svg") || element.closest("[hidden]")) return []
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== "")) return []
    const [low, high] = [luminance(channels(getComputedStyle(element).color)), luminance(groundOf(element))].sort((a, b) => a - b)
    const contrast = (high + 0.05) / (low + 0.05)
    return contrast >= 4.5 ? [] : [element.tagName + "." + element.className + " " + contrast.toFixed(2) + " " + element.textContent.slice(0, 40)]
  })
})()`
