/**
 * Tells the store how far tasks are and what became of them, those of many at once: while one batch is on its way, the
 * next gathers.
 *
 * - Of what a task reports only the latest is said, and before its end is.
 * - A store that fails is asked again each second: what a handler has done is not forgotten, and its place stays taken.
 * - When it has to close, what is left is said, if that is possible in time. If not, the log names each.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Clock, Effect, Exit } from "effect"
import { Bell } from "./TaskBell.ts"
import * as TaskLog from "./TaskLog.ts"
import type { TaskStop } from "./TaskStop.ts"
import type { Claim, Json, Settlement, Stored, TaskId, TaskStore } from "./TaskStore.ts"

/** @internal */
export interface Settling {
  readonly task: Stored
  readonly settlement: Settlement
  /** Called when it is kept, or its claim is no more; gives what the log is to say. */
  readonly settled: (isStale: boolean) => Effect.Effect<void> | undefined
}

/** @internal */
export class TaskSettler {
  private pending: Array<Settling> = []
  private reports = new Map<TaskId, Claim & { readonly progress: Json }>()
  private readonly store: TaskStore["Service"]
  private readonly stop: TaskStop
  private readonly bell = new Bell()
  private readonly reporting = new TaskLog.Patience("keep how far tasks are")
  private readonly settling = new TaskLog.Patience("keep what became of tasks")

  constructor(store: TaskStore["Service"], stop: TaskStop) {
    this.store = store
    this.stop = stop
  }

  add(settling: Settling): void {
    this.pending.push(settling)
    this.bell.ring()
  }

  report({ id, token }: Claim, progress: Json): void {
    this.reports.set(id, { id, token, progress })
    this.bell.ring()
  }

  /** Until the scope closes, and then for what is left. */
  readonly start: Effect.Effect<void, never, Scope.Scope> = Effect.suspend(() =>
    Effect.andThen(
      Effect.addFinalizer(() => Effect.andThen(this.stop.withinGrace(this.rest), this.name)),
      Effect.forkScoped(Effect.forever(Effect.andThen(this.bell.wait, this.flush)))
    )
  )

  private readonly flush: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    const areReported = yield* this.reporting.tries(this.sayReports)
    const areSettled = yield* this.settling.tries(this.saySettlements)
    if (areReported && areSettled) return
    yield* TaskLog.patience
    this.bell.ring()
  })

  private readonly sayReports = Effect.suspend(() => {
    const batch = this.reports
    if (batch.size === 0) return Effect.void
    this.reports = new Map()
    return Effect.onExit(this.store.report([...batch.values()]), (exit) => {
      if (Exit.isFailure(exit)) this.reports = new Map([...batch, ...this.reports])
      return Effect.void
    })
  })

  private readonly saySettlements = Effect.suspend(() => {
    const batch = this.pending
    if (batch.length === 0) return Effect.void
    this.pending = []
    const settle = Effect.flatMap(Clock.currentTimeMillis, (now) =>
      this.store.settle(
        batch.map(({ settlement }) => settlement),
        now
      )
    )
    return Effect.asVoid(
      Effect.onExit(settle, (exit) => {
        if (Exit.isSuccess(exit)) return this.settled(batch, exit.value)
        this.pending = [...batch, ...this.pending]
        return Effect.void
      })
    )
  })

  private settled(batch: ReadonlyArray<Settling>, stale: ReadonlyArray<Claim>): Effect.Effect<void> {
    const news: Array<Effect.Effect<void>> = []
    for (const { settled, settlement } of batch) {
      const isSame = ({ id, token }: Claim) => id === settlement.id && token === settlement.token
      const report = this.reports.get(settlement.id)
      if (report !== undefined && isSame(report)) this.reports.delete(report.id)
      const said = settled(stale.some(isSame))
      if (said !== undefined) news.push(said)
    }
    return Effect.all(news, { discard: true })
  }

  private readonly rest: Effect.Effect<void> = Effect.suspend(() =>
    this.pending.length === 0 && this.reports.size === 0 ? Effect.void : Effect.andThen(this.flush, this.rest)
  )

  private readonly name: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      this.pending,
      ({ settlement, task }) =>
        Effect.logError(
          `${TaskLog.titleOf(task)} ended here (${settlement.input._tag}), and the store could not be told: it will run again`
        ),
      { discard: true }
    )
  )
}
