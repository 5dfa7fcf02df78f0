/**
 * For the tests of programs that use querypool: a pool without a database, tasks that are run where the test stands, and
 * faults. Bound to no test framework.
 *
 * @since 0.1.0
 */
export * as Faults from "./Faults.ts"
export * as TestQueryPool from "./TestQueryPool.ts"
export * as TestTasks from "./TestTasks.ts"
export * as TestTime from "./TestTime.ts"
