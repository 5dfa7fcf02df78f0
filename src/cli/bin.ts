#!/usr/bin/env node
/**
 * The command `querypool`.
 *
 * @internal
 */

// What other users of the machine see of this process: the arguments may hold a password. Loading the rest takes a
// third of a second, in which they would be seen.
process.title = "querypool"

await import("./main.ts")
