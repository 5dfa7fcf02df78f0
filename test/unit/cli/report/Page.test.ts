import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { Script } from "node:vm"
import { script, style } from "../../../../src/cli/report/Assets.ts"
import { page } from "../../../../src/cli/report/Page.ts"
import { pageDataOf } from "../../../../src/cli/report/Packing.ts"
import { hatches } from "../../../../src/cli/report/page/Hatching.ts"
import type { PageData } from "../../../../src/cli/report/page/PageData.ts"
import { picture } from "../../../../src/cli/report/Picture.ts"
import { hostileDocument, hostileTexts } from "../../../support/HostileTexts.ts"
import { documentOf, many, mixed, runOf, six } from "../../../support/ReportSamples.ts"

const elementsOf = (html: string, name: string): ReadonlyArray<string> =>
  Array.from(html.matchAll(new RegExp(`<${name}[^>]*>([^]*?)</${name}>`, "gi")), ([, content = ""]) => content)

const policyOf = (html: string): string => /Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? ""

const dataOf = (html: string): PageData => JSON.parse(elementsOf(html, "script")[0] ?? "")

const hashOf = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

describe("the page", () => {
  const html = page(hostileDocument())

  it("has two scripts, its data and its own, whatever anybody wrote", () => {
    const scripts = elementsOf(html, "script")
    assert.lengthOf(scripts, 2)
    assert.strictEqual(scripts[1], script())
    assert.notMatch(scripts[0] ?? "", /[<>&\u2028\u2029]/)
    assert.deepStrictEqual(dataOf(html), JSON.parse(JSON.stringify(pageDataOf(hostileDocument()))))
  })

  it("allows nothing but its own script and style, by their hashes", () => {
    assert.deepStrictEqual(policyOf(html).split("; "), [
      "default-src 'none'",
      `script-src ${hashOf(elementsOf(html, "script")[1] ?? "")}`,
      `style-src ${hashOf(elementsOf(html, "style")[0] ?? "")}`,
      "base-uri 'none'",
      "form-action 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'"
    ])
  })

  it("says its policy and its encoding before anything that either is about", () => {
    const places = ["<meta charset", "Content-Security-Policy", "<title>", "<style>", "<script"].map((part) =>
      html.indexOf(part)
    )
    assert.deepStrictEqual(
      places,
      places.toSorted((a, b) => a - b)
    )
    assert.notInclude(places, -1)
  })

  it("names no place in any network", () => {
    const own = html.replace(elementsOf(html, "script")[0] ?? "", "").replace("http://www.w3.org/2000/svg", "")
    assert.notMatch(own, /https?:|src=|href=|url\((?!#)/)
  })

  it("takes less than three megabytes for ten thousand queries, and keeps the SQL of those that failed", () => {
    const run = many(10_000)
    // Shorter than all others: it is not their length that keeps their SQL.
    const queries = run.queries.map((query) => (query.error === undefined ? query : { ...query, ranMillis: 0 }))
    const large = page(documentOf({ ...run, queries }))
    assert.isBelow(large.length, 3_000_000)
    const data = dataOf(large)
    const packed = data.runs[0]?.queries ?? []
    assert.lengthOf(packed, 10_000)
    const without = packed.filter(([, , , , , , , sql]) => sql === -1)
    assert.isAbove(without.length, 0)
    assert.strictEqual(data.withoutSql, without.length)
    for (const [, outcome] of without) assert.notStrictEqual(outcome, 1)
  })

  it("bounds what one SQL and all parts add to it", () => {
    const [one, part] = six().queries
    if (one?.source === undefined || part === undefined) return assert.fail("they are not there")
    const parts = Array.from({ length: 15_000 }, () => part)
    const queries = [
      { ...one, source: { ...one.source, sql: "s".repeat(50_000) }, parts },
      { ...one, name: "other", parts }
    ]
    const data = dataOf(page(documentOf({ ...six(), queries })))
    assert.deepStrictEqual(
      data.runs[0]?.queries.map((query) => query[8]?.parts?.length),
      [15_000, 5_000]
    )
    assert.match(data.texts.find((text) => text.startsWith("ss")) ?? "", /^s{20000} … \(30000 more characters\)$/)
  })

  it("shows characters that would hide or turn around others, and cuts what is very long", () => {
    const { runs, texts } = dataOf(page(hostileDocument()))
    const names = runs[0]?.queries.map(([name]) => name) ?? []
    assert.lengthOf(names, hostileTexts.length)
    for (const text of [...names, ...texts.join("\n").split("\n")])
      assert.notMatch(text, /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u)
    assert.include(names.join(), "\\u202egnp.exe")
    const message = runs[0]?.queries.find(([name]) => name.startsWith("28 "))?.[8]?.error?.message
    assert.match(message ?? "", /^x{4000} … \(1000 more characters\)$/)
  })
})

describe("the script of the page", () => {
  it("is one script that asks for no other and makes no HTML from text", () => {
    const text = script()
    assert.doesNotThrow(() => new Script(text))
    assert.notMatch(text, /^\s*(?:import|export)\b/m)
    assert.notMatch(
      text,
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|XMLHttp/
    )
    assert.notMatch(text, /<\/script|<!--/i)
    assert.notMatch(style("colors") + style("style"), /<\/style|@import|url\((?!#)/i)
  })
})

/** Relative luminance and contrast, as WCAG 2.2 defines them. */
const luminance = (color: string): number => {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(color.slice(at, at + 2), 16) / 255
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
const contrast = (a: string, b: string): number => {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].toSorted((one, other) => one - other)
  return (high + 0.05) / (low + 0.05)
}

const colorsIn = (css: string): Readonly<Record<string, string>> =>
  Object.fromEntries(Array.from(css.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g), ([, name, color]) => [name, color]))

describe.each([
  ["light", colorsIn(style("colors").split("@media")[0] ?? "")],
  ["dark", colorsIn(style("colors").split("@media")[1] ?? "")]
])("the colours in %s", (_, colors) => {
  const color = (name: string): string => colors[name] ?? assert.fail(`there is no --${name}`)

  it.each([
    ["text", "paper"],
    ["text", "raised"],
    ["text", "ground"],
    ["dim", "paper"],
    ["dim", "raised"],
    ["dim", "ground"],
    ["failed", "paper"],
    ["failed", "raised"],
    ["accent", "paper"],
    ["paper", "accent"],
    ["on-succeeded", "succeeded"],
    ["on-failed", "failed"],
    ["on-failed", "failed-line"],
    ["on-cancelled", "cancelled"],
    ["on-cancelled", "cancelled-line"]
  ])("let %s be read on %s: 4.5 to 1", (text, ground) => {
    assert.isAtLeast(contrast(color(text), color(ground)), 4.5)
  })

  it.each(["succeeded", "failed", "cancelled", "cancelling", "wait", "edge", "path", "accent", "bound"])(
    "let %s be seen on the paper and on the ground of a lane: 3 to 1",
    (name) => {
      assert.isAtLeast(contrast(color(name), color("paper")), 3)
      assert.isAtLeast(contrast(color(name), color("ground")), 3)
    }
  )
})

describe("the fillings", () => {
  it("differ by more than their colours", () => {
    const patterns = Object.values(hatches)
    assert.strictEqual(new Set(patterns).size, patterns.length)
    const css = style("colors")
    for (const name of Object.keys(hatches)) assert.include(css, `.ink.${name} {\n  fill: url(#hatch-${name});`)
  })
})

/** Well-formed, as far as that can be told without a parser: what is open is closed, and nothing stands for itself. */
const check = (svg: string): void => {
  const open: Array<string> = []
  for (const [, close, name = "", attributes = "", self] of svg.matchAll(
    /<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/gi
  )) {
    if (close === "/") assert.strictEqual(open.pop(), name)
    else if (self !== "/") open.push(name)
    assert.notMatch(attributes, /\son\w+=/i)
  }
  assert.isEmpty(open)
  const rest = svg.replaceAll(/<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/gi, "")
  assert.notMatch(rest, /[<]|&(?!lt;|gt;|amp;|quot;|#39;)/)
  assert.match(svg, /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u)
}

const frameOf = (svg: string) => svg.slice(svg.indexOf("<style>"), svg.indexOf('<rect class="paper"'))

describe("the picture", () => {
  it("is well-formed whatever anybody wrote, and has nothing in it that acts", () => {
    const svg = picture(hostileDocument())
    check(svg)
    assert.notMatch(svg, /<(?:script|img|iframe|foreignObject|a|image|use)\b/i)
  })

  it("shows several runs one below the other, at the same scale", () => {
    const svg = picture(documentOf({ ...six(1), name: "one by one" }, { ...six(5), name: "5 workers" }))
    check(svg)
    for (const name of ["one by one", "5 workers", "06-accounts-per-branch-limited", "worker 5"])
      assert.include(svg, name)
    assert.lengthOf(svg.match(/class="bound"/g) ?? [], 2)
    assert.lengthOf(svg.match(/class="line"/g) ?? [], 1)
  })

  it("says of each run what went wrong with it, and keeps its title and the lower bound apart", () => {
    const failing = runOf(
      Array.from({ length: 3 }, (_, id) => ({ name: `q${id}`, millis: 4000, ...(id > 0 ? { error: "no" } : {}) })),
      { concurrency: 1 }
    )
    const gone = { ...runOf([], { concurrency: 1 }), name: "gone", unreachable: "no route to <host>" }
    const svg = picture(documentOf({ ...six(), name: `<${"w".repeat(200)}>` }, failing, gone))
    check(svg)
    const titles = Array.from(svg.matchAll(/class="flag"[^>]*>([^<]*)<tspan[^>]*>([^<]*)</g), ([, ...parts]) => parts)
    assert.deepStrictEqual(titles.slice(1), [
      ["3 queries", "12.0 s, 2 failed"],
      ["gone", "0.0 ms, unreachable"]
    ])
    assert.match(titles[0]?.[0] ?? "", /^&lt;w{10,30}…$/)
    const [early = 0, late = 0] = Array.from(svg.matchAll(/x="(\d+)" y="-9"/g), ([, x]) => Number(x))
    // Where the title of the first ends, from where its lanes begin.
    assert.isAbove(early, 150)
    assert.isAbove(late, 800)
  })

  it("is small for very many queries", () => {
    assert.isBelow(picture(documentOf(many(10_000))).length, 200_000)
  })

  it("stands in the documentation as the program draws it", () => {
    const drawn = picture(documentOf(six(), mixed(6)))
    const documented = readFileSync(new URL("../../../../docs/timeline.svg", import.meta.url), "utf8")
    assert.strictEqual(frameOf(documented), frameOf(drawn))
  })
})
