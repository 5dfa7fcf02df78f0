/**
 * Completes package-lock.json: `npm install` leaves out the optional packages of other platforms that its registry does
 * not hold, and `npm ci` then refuses the file. Run it after each change of the dependencies:
 *
 *     npm install && node scripts/completeLock.ts
 */
import { readFileSync, writeFileSync } from "node:fs"

interface Entry {
  readonly version?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

const path = new URL("../package-lock.json", import.meta.url)
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, Entry> }

const systems = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"]
const processors = ["arm64", "arm", "ia32", "ppc64", "riscv64", "s390x", "x64"]

/** What a package of native code is for, as its name says: `…-linux-arm64-musl`. */
const platformOf = (name: string) => {
  const words = name.split("/").at(-1)?.split("-") ?? []
  const system = systems.find((candidate) => words.includes(candidate))
  const processor = processors.find((candidate) => words.includes(candidate))
  if (system === undefined || processor === undefined) return undefined
  const libc = words.includes("musl") ? ["musl"] : words.includes("gnu") && system === "linux" ? ["glibc"] : undefined
  return { cpu: [processor], ...(libc === undefined ? {} : { libc }), os: [system] }
}

for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`
    const platform = platformOf(name)
    if (lock.packages[key] !== undefined || platform === undefined || !/^\d/.test(version)) continue
    lock.packages[key] = { version, ...platform, ...(entry.dev === true ? { dev: true } : {}), optional: true }
  }
}

const ordered = Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1))
writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(ordered) }, undefined, 2)}\n`)
