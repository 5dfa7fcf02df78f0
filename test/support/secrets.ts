/**
 * Fails a test during which a password could be seen where it must not be.
 *
 * The passwords: that of the run's server, every value that is made `Redacted` in this process (of a URL its password,
 * encoded and decoded), and those of URLs among the arguments of child processes. The worker's other files do not count.
 *
 * Searched:
 * - what this process writes to standard output, standard error and the console;
 * - what child processes write to theirs, the command `querypool` above all, and what they are called with, but for
 *   `querypool` itself: that a test names it a URL is the test's doing;
 * - every line for Effect's default loggers, also where the default level is what keeps it from being printed;
 * - every `QueryError` and `SqlError`, also one that nobody reports: its text, its JSON and what `inspect` shows;
 * - every event of a run that is listened to, and so every report, which is a fold of those;
 * - the name, the attributes, the events and the failure of every span of Effect's own kind.
 *
 * Not searched: what a test's own tracer, logger or console takes, unless it keeps `Tracer.NativeSpan`s; debug lines of
 * a program that has no such level; files; the environment of processes; what is sent to the server, whose log may have
 * any statement. Passwords of fewer than six characters are not looked for, being parts of other words, nor is the
 * word `password`, which examples of URLs have in the place of one.
 */
import { Clock, Context, Logger, Redacted, Tracer } from "effect"
import { SqlError } from "effect/sql/SqlError"
import type { ChildProcess } from "node:child_process"
import { subscribe } from "node:diagnostics_channel"
import { inspect } from "node:util"
import { afterEach, inject } from "vitest"
import { QueryError } from "../../src/query/QueryError.ts"
import { Run } from "../../src/query/Run.ts"

const fewestCharacters = 6
const secrets = new Set<string>()
const findings = new Set<string>()

/** What was found since the last time it was taken; the password itself is blotted out. */
export const takeFindings = (): ReadonlyArray<string> => {
  const taken = [...findings]
  findings.clear()
  return taken
}

const learnWord = (word: string | null): void => {
  if (word !== null && word.length >= fewestCharacters && word !== "password") secrets.add(word)
}

const learn = (value: unknown): void => {
  if (typeof value !== "string") return
  if (!value.includes("://")) return learnWord(value)
  if (!URL.canParse(value)) return
  const url = new URL(value)
  learnWord(url.password)
  learnWord(url.searchParams.get("password"))
  try {
    learnWord(decodeURIComponent(url.password))
  } catch {
    // Then it is used as it is.
  }
}

const asText = (value: unknown): string => {
  if (typeof value === "string") return value
  const shown = inspect(value, { depth: 12, maxStringLength: Infinity })
  try {
    return `${shown}\n${String(value)}\n${JSON.stringify(value)}`
  } catch {
    // It has no JSON: it contains itself, or a bigint.
    return shown
  }
}

const margin = 40

const search = (place: string, value: unknown): void => {
  const text = asText(value)
  for (const secret of secrets) {
    const at = text.indexOf(secret)
    if (at === -1) continue
    const excerpt = text.slice(Math.max(0, at - margin), at + secret.length + margin)
    findings.add(`${place}: ${excerpt.replaceAll(secret, "<the password>")}`)
  }
}

/** Has `see` called after each call of a method. */
const tap = (owner: object, name: string, see: (args: ReadonlyArray<unknown>, self: unknown) => void): void => {
  const method: unknown = Reflect.get(owner, name)
  if (typeof method !== "function") throw new Error(`There is no method \`${name}\` any more to look into`)
  Reflect.set(owner, name, function (this: unknown, ...args: ReadonlyArray<unknown>): unknown {
    const result: unknown = Reflect.apply(method, this, args)
    see(args, this)
    return result
  })
}

/** Searches each instance of a class once its constructors are through. */
const searchInstances = (place: string, type: Function): void => {
  const construct: ProxyHandler<Function>["construct"] = (target, args, newTarget) => {
    const made: object = Reflect.construct(target, args, newTarget)
    queueMicrotask(() => search(place, made))
    return made
  }
  // What `super(…)` calls.
  Object.setPrototypeOf(type, new Proxy(Object.getPrototypeOf(type), { construct }))
}

/** Where Redacted keeps all values, which is not exported: the map that a first value is put into. */
const registryOfRedacted = (): object => {
  const maps: object = WeakMap.prototype
  const set: unknown = Reflect.get(maps, "set")
  const seen: Array<unknown> = []
  tap(maps, "set", ([, value], map) => {
    if (value === Redacted) seen.push(map)
  })
  Redacted.make(Redacted)
  Reflect.set(maps, "set", set)
  const [registry] = seen
  if (!(registry instanceof WeakMap)) throw new Error("Redacted does not keep its values in a map any more")
  return registry
}

/** Longer than a password is, so that none is missed that comes in two parts. */
const tailCharacters = 256

const searchOutput = (child: ChildProcess): void => {
  const program = child.spawnargs.join(" ")
  // It tells the test what it connects with.
  if (program.includes("ownServer.ts")) return
  if (!program.includes("src/cli/bin.ts")) search("the arguments of a process", program)
  for (const argument of child.spawnargs) if (argument.includes("://")) learn(argument)
  for (const name of ["stdout", "stderr"] as const) {
    const stream = child[name]
    if (stream === null) continue
    let tail = ""
    tap(stream, "push", ([chunk]) => {
      if (!Buffer.isBuffer(chunk)) return
      const text = tail + chunk.toString("utf8")
      search(`${name} of a process`, text)
      tail = text.slice(-tailCharacters)
    })
  }
}

const defaultOf = <A>(reference: Context.Reference<A>): A => Context.get(Context.empty(), reference)

learn(inject("postgresUrl"))
tap(registryOfRedacted(), "set", ([, value]) => learn(value))
for (const name of ["stdout", "stderr"] as const) {
  tap(process[name], "write", ([chunk]) => search(name, chunk instanceof Uint8Array ? String(chunk) : chunk))
}
for (const name of ["log", "info", "warn", "error", "debug", "trace"]) {
  tap(globalThis.console, name, (args) => search("the console", args))
}
// It is told when the process is made, a moment before that has its streams.
subscribe("child_process", (message) => {
  const { process: child } = message as { readonly process: ChildProcess }
  queueMicrotask(() => searchOutput(child))
})
const loggers = defaultOf(Logger.CurrentLoggers) as Set<Logger.Logger<unknown, unknown>>
loggers.add(Logger.make(({ cause, logLevel, message }) => search(`a ${logLevel} line of the log`, [message, cause])))
searchInstances("a QueryError", QueryError)
searchInstances("an SqlError", SqlError)
const { listener } = new Run({
  concurrency: 1,
  workers: 1,
  clock: defaultOf(Clock.Clock),
  onEvent: () => {},
  queueMillis: undefined,
  deadlineMillis: undefined
})
tap(Object.getPrototypeOf(listener), "emit", ([event]) => search("an event", event))
tap(Tracer.NativeSpan.prototype, "end", (_, span) => {
  if (!(span instanceof Tracer.NativeSpan)) return
  search("a span", [span.name, span.attributes, span.events])
  if (span.status._tag === "Ended" && span.status.exit._tag === "Failure") search("a span's failure", span.status.exit)
})

afterEach(() => {
  const found = takeFindings()
  if (found.length > 0) throw new Error(`A password was to be seen in:\n${found.join("\n")}`)
})
