#!/usr/bin/env node
/**
 * The command `querypool`.
 *
 * @internal
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Layer, Runtime } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { exitCode, QueryFailed } from "./CliFailure.ts"
import { demoCommand } from "./DemoCommand.ts"
import { runCommand } from "./RunCommand.ts"
import { version } from "./version.ts"

const querypool = Command.make("querypool").pipe(
  Command.withDescription("Many PostgreSQL queries at once"),
  Command.withSubcommands([runCommand, demoCommand])
)

/** Help where it was asked for; where something is wrong, one line that says what. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.forEach(event.errors, (error) => Console.error(`querypool: ${error.message}`), { discard: true })
      : CliOutput.defaultPresenter.present(event)
}

const say = (error: unknown) => {
  // Both have been said: by the presenter above, and beside the results.
  if (CliError.isCliError(error) || error instanceof QueryFailed) return Effect.void
  return Console.error(`querypool: ${error instanceof Error ? error.message : String(error)}`)
}

const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return exitCode.interrupted
  const error = Cause.squash(exit.cause)
  if (CliError.isCliError(error)) return error._tag === "ShowHelp" && error.errors.length === 0 ? 0 : exitCode.usage
  return Runtime.getErrorExitCode(error)
}

// What other users of the machine see of this process; the arguments may hold a password.
process.title = "querypool"

// Whoever read our output has left, as `head` does: stop the queries, as after Ctrl-C.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.emit("SIGINT")
  else throw error
})

Command.run(querypool, { version }).pipe(
  Effect.tapError(say),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      CliOutput.layerPresenter(presenter),
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
    )
  ),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: (exit, onExit) => onExit(codeOf(exit)) })
)
