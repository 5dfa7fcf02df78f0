/**
 * Where this user's files are kept that can be made again: binaries, and what was learned.
 *
 * The first of the configured or usual cache folder and one among the temporary files that can be written, and that only
 * we can write: others could put binaries of theirs there. Root's is the system's: below the home that sudo keeps it
 * would make folders that their owner cannot write.
 */
import { access, chmod, constants, mkdir, stat } from "node:fs/promises"
import { homedir, tmpdir } from "node:os"
import { isAbsolute, join } from "node:path"

/** The folders that are tried, in their order. */
export const cacheFolders = (): ReadonlyArray<string> => {
  const uid = process.getuid?.()
  const configured = process.env["XDG_CACHE_HOME"] ?? ""
  const usual = uid === 0 ? "/var/cache" : join(home(), ".cache")
  return [
    ...[configured, usual].filter(isAbsolute).map((folder) => join(folder, "querypool")),
    join(tmpdir(), `querypool-cache-${uid ?? ""}`)
  ]
}

/** Empty where there is none: node throws for a user whom the system does not know, as in many a container. */
const home = (): string => {
  try {
    return homedir()
  } catch {
    return ""
  }
}

/** The first that can be used, made if it is not there; `isFit` may ask for more. `undefined` if none can. */
export const findCacheFolder = async (
  isFit: (folder: string) => boolean | Promise<boolean> = () => true
): Promise<string | undefined> => {
  const openMode = process.getuid?.() === 0 ? 0o755 : 0o700
  for (const folder of cacheFolders()) {
    try {
      // A umask of 077 would close root's folder to servers.
      if ((await mkdir(folder, { recursive: true, mode: openMode })) !== undefined) await chmod(folder, openMode)
      await access(folder, constants.W_OK)
      if ((await isOurs(folder)) && (await isFit(folder))) return folder
    } catch {
      continue
    }
  }
  return undefined
}

const isOurs = async (folder: string): Promise<boolean> => {
  const uid = process.getuid?.()
  // Windows has neither: what is in a user's folders is the user's.
  if (uid === undefined) return true
  const { mode, uid: owner } = await stat(folder)
  return owner === uid && (mode & 0o022) === 0
}
