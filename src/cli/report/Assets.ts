/**
 * The files of the page, as they stand beside this one in the sources and in the package.
 *
 * @internal
 */
import { readFileSync } from "node:fs"
import { link } from "./Linker.ts"

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"

/**
 * The script of the page.
 *
 * @internal
 */
export const script = (): string => link(new URL(`./page/Main.${extension}`, import.meta.url))

/**
 * A style sheet: the package has the sources beside what is compiled of them.
 *
 * @internal
 */
export const style = (name: "colors" | "style"): string =>
  readFileSync(new URL(`../../../src/cli/report/page/${name}.css`, import.meta.url), "utf8").replaceAll("\r\n", "\n")
