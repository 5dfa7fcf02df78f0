#!/usr/bin/env node
/**
 * The command `querypool`.
 *
 * @internal
 */
import { enableCompileCache } from "node:module"
import { join } from "node:path"
import { findCacheFolder } from "../embedded/CacheFolder.ts"

// What other users of the machine see of this process: the arguments may hold a password. Loading the rest takes a
// third of a second, in which they would be seen.
process.title = "querypool"

// Compiling it is a fifth of that (0.54 s of processor time for a run of one query, 0.44 from the second on). Not in
// Node's own folder among the temporary files, which others could have made: they would choose what runs here.
const folder = await findCacheFolder()
if (folder !== undefined) enableCompileCache(join(folder, "compiled"))

await import("./main.ts")
