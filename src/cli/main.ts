/**
 * What the command `querypool` does, from its arguments to its exit code.
 *
 * @internal
 */
// By their own paths: the package's index also loads clients of other services, a third of the time to start.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Exit, Layer, Logger, Runtime } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { exitCode, QueryFailed, sayable } from "./CliFailure.ts"
import { demoCommand } from "./DemoCommand.ts"
import { consoleAbove, leave } from "./LiveLines.ts"
import { planCommand } from "./PlanCommand.ts"
import { runCommand } from "./RunCommand.ts"
import { runMain, stop } from "./Signals.ts"
import { underWay } from "./UnderWay.ts"
import { version } from "./version.ts"

const querypool = Command.make("querypool").pipe(
  Command.withDescription("Many PostgreSQL queries at once"),
  Command.withSubcommands([runCommand, planCommand, demoCommand])
)

const printed = Effect.provideService(Console.Console, consoleAbove)

const say = (message: string) => printed(Console.error(`querypool: ${sayable(message)}`))

/** Help where it was asked for; where something is wrong, one line that says what. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.forEach(event.errors, (error) => say(error.message), { discard: true })
      : CliOutput.defaultPresenter.present(event)
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

/** Why standard output takes no more, if it does not. */
let unwritable: NodeJS.ErrnoException | undefined

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (unwritable !== undefined) return
  unwritable = error
  // Whoever read our output has left, as `head` does, which is no failure.
  if (error.code !== "EPIPE") {
    Effect.runSync(say(`standard output cannot be written: ${error.message}`))
    process.exitCode = exitCode.failed
  }
  stop()
})

const sayWhatIsLeft = (): void => {
  leave()
  const left = underWay()
  if (left === undefined) return
  Effect.runSync(say(`left at once. The server was not seen to stop, and may still run: ${left}`))
}

const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (unwritable !== undefined && unwritable.code !== "EPIPE") return exitCode.failed
  if (Exit.isSuccess(exit)) return exitCode.succeeded
  if (Cause.hasInterruptsOnly(exit.cause)) return exitCode.interrupted
  const error = Cause.squash(exit.cause)
  if (CliError.isCliError(error)) {
    return error._tag === "ShowHelp" && error.errors.length === 0 ? exitCode.succeeded : exitCode.usage
  }
  return Runtime.getErrorExitCode(error)
}

Command.run(querypool, { version }).pipe(
  Effect.tapCause(sayWhy),
  printed,
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      // Standard output is for results.
      Layer.succeed(Logger.LogToStderr, true),
      CliOutput.layerPresenter(presenter),
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
    )
  ),
  (command) =>
    runMain(sayWhatIsLeft)(command, {
      disableErrorReporting: true,
      teardown: (exit, onExit) => onExit(codeOf(exit))
    })
)
