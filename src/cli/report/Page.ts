/**
 * The report as one page of HTML that opens from a file, without a network.
 *
 * Names, SQL and messages are whatever anybody wrote. They are in the page once, as JSON in a script element that nothing
 * runs, with every `<` escaped, so that nothing in it can end that element; and the page's own script shows them as
 * text. Behind that stands a Content-Security-Policy: no script and no style but the page's own, by their hashes, no
 * request of any kind, and no HTML from a string.
 *
 * @internal
 */
import { createHash } from "node:crypto"
import type * as ReportDocument from "../../query/ReportDocument.ts"
import { script as scriptOfPage, style as styleOf } from "./Assets.ts"
import { pageDataOf } from "./Packing.ts"

/** Of the text of an element, as CSP level 2 has it. */
const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/** JSON that cannot end the element it stands in, nor begin a comment there. */
const inert = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const titleOf = ({ runs }: ReportDocument.Document): string => {
  const queries = runs.flatMap((run) => run.queries)
  const failed = queries.filter(({ outcome }) => outcome === "failed").length
  const count = `${queries.length.toLocaleString("en")} ${queries.length === 1 ? "query" : "queries"}`
  return `querypool: ${count}${failed === 0 ? "" : `, ${failed.toLocaleString("en")} failed`}`
}

/** @internal */
export const page = (document: ReportDocument.Document): string => {
  const script = scriptOfPage()
  const style = styleOf("colors") + styleOf("style")
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'"
  ].join("; ")
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${titleOf(document)}</title>
<style>${style}</style>
</head>
<body>
<noscript>This page draws the report with a script of its own, which this browser does not run. It asks for nothing from any network.</noscript>
<main id="report"></main>
<script type="application/json" id="data">${inert(pageDataOf(document))}</script>
<script>${script}</script>
</body>
</html>
`
}
