/**
 * Makes one script of the modules of a page, which has to work from a file, where a browser loads no module.
 *
 * Each module becomes a function that is called once, after those that it imports; what it exports is what it gives. The
 * modules have to be of the form that this repository's are: imports by name from relative paths, exports where things
 * are declared, no default, nothing in a circle.
 *
 * In the package the modules are what the compiler made of them; from the sources, types are blanked out here.
 *
 * @internal
 */
import { readFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { fileURLToPath } from "node:url"

const imports = /^import\s*\{(?<names>[^}]*)\}\s*from\s*"(?<from>\.[^"]+)";?$/gm
const exported = /^export (?=(?:const|function|class) (?<name>\w+))/gm

interface Module {
  readonly url: URL
  readonly text: string
  readonly needs: ReadonlyArray<URL>
}

/** Without what Node says of that being experimental, which is nothing to whoever wants a report. */
const withoutTypes = (source: string): string => {
  const { emitWarning } = process
  // Nothing else runs meanwhile that could warn of anything.
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(source)
  } finally {
    process.emitWarning = emitWarning
  }
}

const read = (url: URL): Module => {
  const source = readFileSync(fileURLToPath(url), "utf8").replaceAll("\r\n", "\n")
  const script = url.pathname.endsWith(".ts") ? withoutTypes(source) : source
  const text = script.replace(/^\/\/# sourceMappingURL=.*$/m, "").replace(/^export \{\};$/m, "")
  return { url, text, needs: Array.from(text.matchAll(imports), ({ groups }) => new URL(groups?.["from"] ?? "", url)) }
}

/** Each after all that it imports. */
const modulesBehind = (entry: URL): ReadonlyArray<Module> => {
  const found = new Map<string, Module>()
  const visit = (url: URL): void => {
    const module = read(url)
    for (const need of module.needs) if (!found.has(need.href)) visit(need)
    found.set(url.href, module)
  }
  visit(entry)
  return [...found.values()]
}

/**
 * The script of a module and all that it imports.
 *
 * @internal
 */
export const link = (entry: URL): string => {
  const modules = modulesBehind(entry)
  const numberOf = (url: URL): number => modules.findIndex((module) => module.url.href === url.href)
  const parts = modules.map(({ text, url }, number) => {
    const exports = Array.from(text.matchAll(exported), ({ groups }) => groups?.["name"])
    const body = text
      .replace(imports, (_, names: string, from: string) => {
        const renamed = names.replaceAll(/\s+as\s+/g, ": ").replaceAll(/\s+/g, " ")
        return `const {${renamed}} = module${numberOf(new URL(from, url))}`
      })
      .replace(exported, "")
    return `const module${number} = (() => {\n${body}\nreturn { ${exports.join(", ")} }\n})()`
  })
  return `"use strict"\n;(() => {\n${parts.join("\n")}\n})()\n`
}
