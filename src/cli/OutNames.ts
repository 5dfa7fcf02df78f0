/**
 * Names of files from names of queries: a name is a path below the folder, `daily/orders` is `daily/orders.csv` there.
 *
 * A name that leaves the folder, that some system cannot have (a folder of files is carried to others), or that would be
 * the same file as another's where upper and lower case are one, is refused before anything is run.
 *
 * @internal
 */
import { Result } from "effect"
import { toLine } from "./TextValue.ts"

/** The folder in the folder of a run that is the run's own. */
export const ownFolder = ".querypool"

/** Most file systems' limit for a name. */
const mostBytes = 255
/** PATH_MAX of Linux is 4096, and the folder needs some of it. */
const mostPathBytes = 2_048

const devices = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i

/**
 * Why a name can be no path below a folder, if it cannot.
 *
 * @internal
 */
export const faultOfName = (name: string, extension: string): string | undefined => {
  if (!name.isWellFormed()) return "it is no valid Unicode"
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(name)) return "it has control characters"
  if (/^[/\\]|^[A-Za-z]:/.test(name)) return "it is an absolute path"
  const odd = /[\\<>:"|?*]/.exec(name)
  if (odd !== null) return `some systems have no ${odd[0]} in the names of files`
  const parts = name.split("/")
  if (parts.includes("..") || parts.includes(".")) return "it leaves the folder, or is the folder"
  if (parts.includes("")) return "a part of it is empty"
  if (parts[0]?.toLowerCase() === ownFolder) return `the folder ${ownFolder} is the run's own`
  const device = parts.find((part) => devices.test(part))
  if (device !== undefined) return `${device} is the name of a device on some systems`
  if (parts.some((part) => /[. ]$/.test(part))) return "a part of it ends in a dot or a blank, which some systems drop"
  const path = extension === "" ? name : `${name}.${extension}`
  if (path.split("/").some((part) => Buffer.byteLength(part) > mostBytes)) {
    return `a part of it is longer than ${mostBytes} bytes`
  }
  return Buffer.byteLength(path) > mostPathBytes ? `it is longer than ${mostPathBytes} bytes` : undefined
}

/**
 * A query whose rows are for a file.
 *
 * @internal
 */
interface Named {
  readonly name: string
  readonly file: string
  readonly line: number
}

/**
 * As file systems do that know no case, or that write accents in another way. By small letters to capitals, as some of
 * them take σ for ς, and ß for ss.
 *
 * @internal
 */
export const folded = (path: string): string => path.normalize("NFC").toLowerCase().toUpperCase().normalize("NFC")

/**
 * The paths of the queries' files, with `/` between their parts, from the folder of the run. Says what is wrong with the
 * first name that cannot be a path.
 *
 * @internal
 */
export const pathsOf = <Q extends Named>(
  queries: ReadonlyArray<Q>,
  extension: string
): Result.Result<ReadonlyMap<Q, string>, string> => {
  const paths = new Map<Q, string>()
  const taken = new Map<string, Q>()
  const folders = new Map<string, Q>()
  for (const query of queries) {
    const at = `${query.file}:${query.line}: query "${toLine(query.name)}"`
    const fault = faultOfName(query.name, extension)
    if (fault !== undefined) return Result.fail(`${at} gives its name to no file of --out: ${fault}. Rename it`)
    const path = `${query.name}.${extension}`
    const key = folded(path)
    const above = foldersOf(key)
    const other =
      taken.get(key) ?? folders.get(key) ?? above.map((folder) => taken.get(folder)).find((one) => one !== undefined)
    if (other !== undefined) {
      return Result.fail(
        `${at} and "${toLine(other.name)}" in ${other.file}:${other.line} cannot both be files of --out, ` +
          `where upper and lower case are one. Rename one of them`
      )
    }
    taken.set(key, query)
    for (const folder of above) if (!folders.has(folder)) folders.set(folder, query)
    paths.set(query, path)
  }
  return Result.succeed(paths)
}

/** `a` and `a/b` of `a/b/c`. */
const foldersOf = (path: string): ReadonlyArray<string> =>
  path
    .split("/")
    .slice(0, -1)
    .map((_, index, parts) => parts.slice(0, index + 1).join("/"))
