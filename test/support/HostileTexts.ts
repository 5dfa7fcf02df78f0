/**
 * Texts that would act in a page, if they were anything but text there: each sets `window.hacked` or asks for something
 * from the network if it can.
 */
import type * as ReportDocument from "../../src/query/ReportDocument.ts"
import { documentOf, runOf } from "./ReportSamples.ts"

const act = "window.hacked=1"

export const hostileTexts: ReadonlyArray<string> = [
  `</script><script>${act}</script>`,
  `</SCRIPT ><script>${act}</script >`,
  `<!--<script>`,
  `<!-- --> <!--><script>${act}</script>-->`,
  `]]><script>${act}</script>`,
  `<img src=x onerror=${act}>`,
  `<img src="http://evil.test/a.png">`,
  `<svg onload=${act}><script>${act}</script></svg>`,
  `<style>@import "http://evil.test/a.css";</style>`,
  `<iframe src="javascript:${act}"></iframe>`,
  `<base href="http://evil.test/">`,
  `<meta http-equiv="refresh" content="0;url=http://evil.test/">`,
  `"><b onmouseover=${act} style="position:fixed;inset:0">x</b>`,
  `' onfocus='${act}' autofocus='`,
  `javascript:${act}//`,
  `data:text/html,<script>${act}</script>`,
  `\${${act}} {{${act}}} %3Cscript%3E${act}%3C/script%3E`,
  `__proto__`,
  `constructor`,
  `\\u003cscript\\u003e${act}\\u003c/script\\u003e \\x3cscript\\x3e`,
  `&lt;script&gt;${act}&lt;/script&gt; &amp; &#60;script&#62; &nbsp;`,
  `line\u2028separator\u2029 next\u0085line`,
  `\u0000\u0001\u001b[31m\u007f\u009b31m\ufeff\ufffe\uffff`,
  `\u202egnp.exe\u202c \u2066isolated\u2069 \u200f\u061c`,
  `lone \ud800 surrogates \udc00`,
  `\r\nX-Header: 1\r\n\r\n<script>${act}</script>`,
  `url(#hatch-failed);} * { display: none } </style><script>${act}</script>`,
  `😀 한글 العربية e\u0301 ${"\u0301".repeat(50)}`,
  `${"x".repeat(5_000)}`,
  ` `,
  ``
]

const failureOf = (text: string): ReportDocument.Failure => ({
  reason: text,
  sqlState: text,
  message: text,
  detail: text,
  hint: text,
  outcome: "unknown",
  place: { file: text, line: 1, column: 1 },
  excerpt: `${text}\n^`
})

const textAt = (index: number) => hostileTexts[index % hostileTexts.length] ?? ""

/** A report in which everything that anybody writes is one of them: names, files, SQL, tags, errors, notices, all. */
export const hostileDocument = (): ReportDocument.Document => {
  const run = runOf(
    hostileTexts.map((text, index) => ({
      name: `${index} ${text}`,
      millis: 10 + index,
      sql: `select '${text}'`,
      ...(index % 3 === 1 ? { error: text } : {}),
      ...(index % 3 === 2 ? { retries: 1 } : {}),
      ...(index % 5 === 4 ? { parts: 2 } : {}),
      ...(index % 7 === 6 ? { needs: [index - 6] } : {})
    })),
    { concurrency: 3 }
  )
  const queries = run.queries.map((query, index): ReportDocument.Query => {
    const text = textAt(index)
    return {
      ...query,
      ...(query.error === undefined ? {} : { error: failureOf(text) }),
      failedAttempts: query.failedAttempts.map((one) => ({ ...one, error: failureOf(text) })),
      ...(query.outcome === "skipped" ? { because: text } : {}),
      source: { file: text, line: 1, sql: text },
      tags: { [text]: text },
      parts: query.parts.map((part, at) => ({ ...part, name: `${query.name} [${at}] ${text}` })),
      notices: [{ severity: text, message: text }],
      moreNotices: 1
    }
  })
  const runs = hostileTexts.slice(0, 3).map((text): ReportDocument.Run => ({
    ...run,
    queries,
    name: text,
    database: text,
    unreachable: text,
    startedAt: text
  }))
  return { ...documentOf(...runs), generator: textAt(0) }
}
