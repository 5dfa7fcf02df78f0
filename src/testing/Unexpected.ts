/**
 * An expectation that does not hold, in the form that test frameworks know: they show what differs.
 *
 * @internal
 */

/** @internal */
export class Unexpected extends Error {
  override readonly name = "AssertionError"
  readonly expected: unknown
  readonly actual: unknown

  constructor(message: string, expected: unknown, actual: unknown) {
    super(message)
    this.expected = expected
    this.actual = actual
  }
}
