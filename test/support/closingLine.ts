/** Ends a run's output with how many tests passed and failed, alone on a line, for whoever reads only that. */
import type { Reporter, TestCase } from "vitest/node"

export default class ClosingLine implements Reporter {
  private readonly counts = { passed: 0, failed: 0, skipped: 0 }

  onTestCaseResult(testCase: TestCase): void {
    const { state } = testCase.result()
    if (state !== "pending") this.counts[state]++
  }

  onTestRunEnd(): void {
    const { failed, passed, skipped } = this.counts
    process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`)
  }
}
