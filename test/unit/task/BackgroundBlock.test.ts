import { assert, describe, it } from "vitest"
import { framesOf, lineOf, look, Sights, type Sight } from "../../../src/task/BackgroundBlock.ts"

const below = (): Sight | undefined => look("at below ")

const sight = (who: string, place: string | undefined): Sight => ({ who, place, stack: [] })

describe("a sight of a block", () => {
  it("has the frames below the one that asked, with files from where the program was started", () => {
    const stack = [
      "Error",
      "    at look (file:///srv/app/node_modules/querypool/dist/task/BackgroundBlock.js:20:9)",
      "    at asked-by-this:1:25",
      "    at RegExp.test (<anonymous>)",
      "    at scale (file:///srv/app/src/images.ts:41:9)",
      "    at async Promise.all (index 0)",
      "    at file:///srv/other/main.js:1:2"
    ].join("\n")
    assert.deepStrictEqual(framesOf(stack, "asked-by-this", "/srv/app"), [
      "RegExp.test (<anonymous>)",
      "scale (src/images.ts:41:9)",
      "Promise.all (index 0)",
      "/srv/other/main.js:1:2"
    ])
    assert.deepStrictEqual(framesOf("Error\n    at asked-by-this:1:25", "asked-by-this", "/srv/app"), [])
  })

  it("is of the program's own function, and of no fiber where there is none", () => {
    const seen = below()
    assert.strictEqual(seen?.who, "code that runs in no fiber")
    assert.match(seen?.place ?? "", /^test\/unit\/task\/BackgroundBlock.test.ts:\d+:\d+$/)
  })

  it("leaves the length of stacks as it was", () => {
    const { stackTraceLimit } = Error
    look("anything")
    assert.strictEqual(Error.stackTraceLimit, stackTraceLimit)
  })

  it("is told of when it was seen most often", () => {
    const sights = new Sights()
    assert.isUndefined(sights.most)
    sights.add(sight("a", "f (a:1:1)"))
    sights.add(sight("b", "g (b:1:1)"))
    sights.add(sight("b", "g (b:1:1)"))
    sights.add(sight("b", "h (b:2:1)"))
    assert.deepStrictEqual(sights.most, sight("b", "g (b:1:1)"))
    sights.clear()
    assert.isUndefined(sights.most)
  })

  it("is told of in a line, with what is known", () => {
    assert.strictEqual(
      lineOf(811.6, sight(`task "resize" (7)`, "scale (src/images.ts:41:9)")),
      `The event loop was blocked for 812 ms by task "resize" (7), in scale (src/images.ts:41:9)`
    )
    assert.strictEqual(lineOf(120, sight("fiber #7", undefined)), "The event loop was blocked for 120 ms by fiber #7")
    assert.strictEqual(lineOf(120, undefined), "The event loop was blocked for 120 ms, and nobody was seen to do so")
  })
})
