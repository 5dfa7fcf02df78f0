import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import * as Collector from "../../support/Collector.ts"
import * as Pg from "../../support/Pg.ts"

const example = (name: string) => new URL(`../../../examples/${name}`, import.meta.url)

layer(Pg.layer("Telemetry example"), { excludeTestServices: true })("the example of telemetry", (it) => {
  it.effect("sends a collector its spans and metrics, and no value", () =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const collector = yield* Collector.make
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(
          process.execPath,
          [
            "--conditions=@querypool/source",
            "--disable-warning=ExperimentalWarning",
            example("14-telemetry.ts").pathname
          ],
          {
            env: {
              ...process.env,
              DATABASE_URL: Redacted.value(url),
              OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
              OTEL_TRACES_EXPORTER: "otlp",
              OTEL_METRICS_EXPORTER: "otlp"
            }
          }
        )
      )
      assert.strictEqual(stdout, readFileSync(example("14-telemetry.out"), "utf8"))

      const spans = collector.spans()
      const one = (name: string) => spans.find((span) => span.name === name) ?? assert.fail(`no span ${name}`)
      const under = (name: string) => spans.filter(({ parentSpanId }) => parentSpanId === one(name).spanId)
      const namesUnder = (name: string) => under(name).map((span) => span.name)
      assert.sameMembers(namesUnder("request"), ["QueryPool.report", "who am I"])
      assert.sameMembers(namesUnder("QueryPool.report"), ["account", "flaky"])
      assert.strictEqual(namesUnder("flaky").filter((name) => name === "attempt").length, 2)
      assert.strictEqual(new Set(spans.map(({ traceId }) => traceId)).size, 1)
      const target = new URL(Redacted.value(url))
      const account = one("account")
      assert.strictEqual(account.kind, 3)
      assert.deepInclude(account.attributes, {
        "db.system.name": "postgresql",
        "db.namespace": target.pathname.slice(1),
        "server.address": target.hostname,
        "server.port": Number(target.port),
        "db.query.summary": "account",
        "db.query.text": "select $1::text as owner"
      })
      const failed = spans.find(({ name, status }) => name === "attempt" && status.code === 2)
      assert.deepInclude(failed?.attributes, { "error.type": "22012", "db.response.status_code": "22012" })
      assert.strictEqual(failed?.status.message, "division_by_zero")

      const metrics = collector.metrics()
      const duration = metrics.find(({ name }) => name === "db.client.operation.duration")
      assert.strictEqual(duration?.unit, "s")
      assert.sameMembers(
        (duration?.histogram?.dataPoints ?? []).map(
          ({ attributes }) => Collector.attributesOf(attributes)["db.query.summary"]
        ),
        ["account", "flaky", "who am I"]
      )
      assert.strictEqual(metrics.find(({ name }) => name === "db.client.connection.count")?.sum?.isMonotonic, false)
      assert.include(
        metrics.map(({ name }) => name),
        "querypool.query.retries"
      )

      assert.notInclude(collector.text(), "customer's name")
      assert.notInclude(collector.text(), target.password)
    })
  )
})
