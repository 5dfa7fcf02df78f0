import { Cause, Layer, Logger, References } from "effect"

/** What is logged, as lines such as `Warn: text`. */
export const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ cause, logLevel, message }) => {
    const parts = [message].flat().map((part) => (part instanceof Error ? part.message : String(part)))
    const causes = cause.reasons.length === 0 ? [] : [Cause.pretty(cause)]
    lines.push(`${logLevel}: ${[...parts, ...causes].join(" ")}`)
  })
  return { lines, logger: Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "Debug")) }
}
