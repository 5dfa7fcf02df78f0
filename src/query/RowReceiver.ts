/**
 * Rows as the bytes that the server sends, without a value for any of them: what `Unit.copyRows` hands over.
 *
 * - `columns` is called once, before the first row, also where no row follows. A statement that gives no rows, such as
 *   an `update` without `returning`, never calls it.
 * - `rows` is called with whole DataRow messages of PostgreSQL's protocol (manual, "Message Formats"), however the
 *   socket cut them. Values are in the text format, as the server renders them, with the settings that a dump has:
 *   DateStyle `ISO`, IntervalStyle `postgres`, bytea_output `hex`, floats to their last digit.
 * - Both are called by the socket's handler: they must not take long. What they throw stops the statement, and is a
 *   defect of `copyRows`.
 * - While the flow is paused the server waits; what had been received by then, up to some hundred kilobytes, still
 *   comes. Nothing comes after the copy was interrupted.
 *
 * @since 0.1.0
 */

/**
 * A column of a result as the server describes it.
 *
 * @since 0.1.0
 */
export interface Column {
  /** Unique within its result: the second `a` is `a_2`. */
  readonly name: string
  /** The OID of its type. */
  readonly typeOid: number
  /** What the type is narrowed by, such as the precision and scale of a numeric; -1 where it is not. */
  readonly typeModifier: number
}

/**
 * Lets the server wait, and go on. Neither needs the other: twice is once.
 *
 * @since 0.1.0
 */
export interface Flow {
  readonly pause: () => void
  readonly resume: () => void
}

/**
 * Takes the rows of one statement.
 *
 * @since 0.1.0
 */
export interface RowReceiver {
  readonly columns: (columns: ReadonlyArray<Column>, flow: Flow) => void
  /** Rows are `bytes[from, to)`, one behind the other. The bytes are the socket's again afterwards: copy what stays. */
  readonly rows: (bytes: Buffer, from: number, to: number) => void
}
