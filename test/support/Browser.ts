/**
 * Chromium, as Debian and others package it, for pages that are opened from files: without a network, and with an ear
 * for whatever a page says or asks for.
 */
import type { Scope } from "effect"
import { Context, Effect, Layer } from "effect"
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { pathToFileURL } from "node:url"
import type { Browser as Running, Page } from "playwright-core"
import { chromium } from "playwright-core"

const names = ["chromium", "chromium-browser", "google-chrome"]

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Where it is, unless it is not installed. */
export const program = (process.env["PATH"] ?? "")
  .split(delimiter)
  .flatMap((folder) => names.map((name) => join(folder, name)))
  .find(isProgram)

if (program === undefined) process.stderr.write("skipped: no chromium. Install it, as by apt-get install chromium\n")

/** One of it, for all tests of a file. */
export class Browser extends Context.Service<Browser, Running>()("test/support/Browser") {
  static readonly layer = Layer.effect(
    Browser,
    Effect.acquireRelease(
      Effect.promise(() =>
        chromium.launch({
          ...(program === undefined ? {} : { executablePath: program }),
          // As root it refuses to run in its sandbox.
          args: process.getuid?.() === 0 ? ["--no-sandbox"] : []
        })
      ),
      (browser) => Effect.promise(() => browser.close())
    )
  )
}

/** An open page, and what it said and asked for. */
export interface Opened {
  readonly page: Page
  /** Lines of its console, errors that nobody caught, dialogs, windows, and requests other than for itself. */
  readonly heard: ReadonlyArray<string>
}

/** Opens a page from a file of its own, until the scope closes. */
export const open = Effect.fnUntraced(function* (
  html: string,
  look: { readonly width?: number; readonly height?: number; readonly colorScheme?: "light" | "dark" } = {}
): Effect.fn.Return<Opened, never, Browser | Scope.Scope> {
  const browser = yield* Browser
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "querypool-page-"))),
    (made) => Effect.sync(() => rmSync(made, { recursive: true }))
  )
  const file = join(folder, "report.html")
  writeFileSync(file, html)
  const { colorScheme = "light", height = 900, width = 1400 } = look
  const context = yield* Effect.acquireRelease(
    Effect.promise(() => browser.newContext({ viewport: { width, height }, colorScheme, offline: true })),
    (made) => Effect.promise(() => made.close())
  )
  const own = pathToFileURL(file).href
  const heard: Array<string> = []
  const page = yield* Effect.promise(() => context.newPage())
  context.on("page", () => heard.push("a window"))
  context.on("request", (request) => {
    if (request.url() !== own) heard.push(`a request for ${request.url()}`)
  })
  page.on("console", (message) => heard.push(`${message.type()}: ${message.text()}`))
  page.on("pageerror", (error) => heard.push(`error: ${error.message}`))
  page.on("dialog", (dialog) => {
    heard.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  yield* Effect.promise(() => page.goto(own))
  return { page, heard }
})
