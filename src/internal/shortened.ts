/**
 * A message that may hold what it speaks of, such as a payload of megabytes: its start and its end, and how much was left out.
 *
 * @internal
 */
export const shortened = (message: string): string =>
  message.length <= most
    ? message
    : `${message.slice(0, most / 2)} [… ${message.length - most} characters …] ${message.slice(-most / 2)}`

/** Some lines of a log. What a schema says of a value begins with what was expected, and ends with where. */
const most = 2000
