/**
 * The command `querypool` from its arguments to its exit code, apart from the process that it runs in.
 *
 * @internal
 */
import { Cause, Console, Effect, Exit, Layer, Logger, Runtime } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { exitCode, QueryFailed, sayable } from "./CliFailure.ts"
import { demoCommand } from "./DemoCommand.ts"
import { fitted } from "./HelpText.ts"
import { planCommand } from "./PlanCommand.ts"
import { runCommand } from "./RunCommand.ts"
import { version } from "./version.ts"

const querypool = Command.make("querypool").pipe(
  Command.withDescription("Many PostgreSQL queries at once"),
  Command.withSubcommands([runCommand, planCommand, demoCommand])
)

/**
 * Says something that is no result.
 *
 * @internal
 */
export const say = (message: string) => Console.error(`querypool: ${sayable(message)}`)

/** Help where it was asked for; where something is wrong, one line that says what. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.forEach(event.errors, (error) => say(error.message), { discard: true })
      : CliOutput.defaultPresenter.present(event._tag === "Help" ? { ...event, helpDoc: fitted(event.helpDoc) } : event)
}

const sayWhy = (cause: Cause.Cause<unknown>) => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  // A fault of ours: whoever reports it needs the trace.
  if (Cause.hasDies(cause)) return say(`this is a fault of querypool itself. Please report it:\n${Cause.pretty(cause)}`)
  const error = Cause.squash(cause)
  // Both have been said: by the presenter above, and beside the results.
  if (CliError.isCliError(error) || error instanceof QueryFailed) return Effect.void
  return say(error instanceof Error ? error.message : String(error))
}

/**
 * Does what the arguments of `Stdio` ask for, and says why where it cannot.
 *
 * @internal
 */
export const program: Effect.Effect<void, unknown, Command.Environment> = Command.run(querypool, { version }).pipe(
  Effect.tapCause(sayWhy),
  Effect.provide(
    Layer.mergeAll(
      // Standard output is for results.
      Layer.succeed(Logger.LogToStderr, true),
      CliOutput.layerPresenter(presenter),
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
    )
  )
)

/**
 * The exit code for how it ended.
 *
 * @internal
 */
export const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return exitCode.succeeded
  if (Cause.hasInterruptsOnly(exit.cause)) return exitCode.interrupted
  const error = Cause.squash(exit.cause)
  if (CliError.isCliError(error)) {
    return error._tag === "ShowHelp" && error.errors.length === 0 ? exitCode.succeeded : exitCode.usage
  }
  return Runtime.getErrorExitCode(error)
}
