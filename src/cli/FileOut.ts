/**
 * The files of a run: of each query with a result one, in its place when all of it is there.
 *
 * - The rows are those of the query's one statement that gives any, by its text (see StatementKind.ts). A query with
 *   several is refused, one with none has no file.
 * - A file is kept after the query's session is back, and so after the COMMIT of what it wrote; before the query is told
 *   to have ended. What fails by then leaves no file, and what was there as it was.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Context, Effect, FileSystem, Path, Scope as Scopes } from "effect"
import type { RowReceiver } from "../query/RowReceiver.ts"
import type { Filled } from "../sink/Filling.ts"
import { fill } from "../sink/Filling.ts"
import type { SinkError } from "../sink/SinkError.ts"
import type { QueryPool } from "../query/QueryPool.ts"
import { UsageError } from "./CliFailure.ts"
import type { Where } from "./OutFlags.ts"
import { pathsOf } from "./OutNames.ts"
import type { FileQuery } from "./QueryFiles.ts"
import type { SqlStatement } from "./SqlSplitter.ts"
import { givesRows } from "./StatementKind.ts"
import { toLine } from "./TextValue.ts"

/**
 * A file that is in its place.
 *
 * @internal
 */
export interface OutFile {
  /** With the folder before it. */
  readonly path: string
  readonly bytes: number
}

/**
 * What each query's file is.
 *
 * @internal
 */
export interface OutPlan {
  /** From the folder of the run, with `/` between its parts. */
  readonly paths: ReadonlyMap<FileQuery, string>
  readonly statements: ReadonlyMap<FileQuery, SqlStatement>
}

/**
 * Says which statement of which query goes to which file. Fails where that cannot be.
 *
 * @internal
 */
export const outPlan = Effect.fnUntraced(function* (
  queries: ReadonlyArray<FileQuery>,
  extension: string
): Effect.fn.Return<OutPlan, UsageError> {
  const statements = new Map<FileQuery, SqlStatement>()
  for (const query of queries) {
    const [first, second] = query.statements.filter(({ text }) => givesRows(text))
    if (first !== undefined) statements.set(query, first)
    if (second === undefined) continue
    const message =
      `${query.file}:${second.line}: query "${toLine(query.name)}" has another statement with a result, and --out ` +
      `keeps one file for each query. Put it under a name of its own`
    return yield* new UsageError({ message })
  }
  const paths = yield* Effect.mapError(
    Effect.fromResult(pathsOf([...statements.keys()], extension)),
    (message) => new UsageError({ message })
  )
  return { paths, statements }
})

/**
 * The files of one run, in a folder that is there.
 *
 * @internal
 */
export interface Out {
  /** As it was given. */
  readonly folder: string
  /** Whether that statement's rows are for the query's file. */
  readonly isFor: (query: FileQuery, statement: SqlStatement) => boolean
  /** The path of the query's file, if it has one. */
  readonly pathOf: (query: FileQuery) => string | undefined
  /** Fills the query's file, until the scope closes. */
  readonly fill: <E, R>(
    query: FileQuery,
    copy: (receiver: RowReceiver) => Effect.Effect<number, E, R>
  ) => Effect.Effect<Filled | undefined, SinkError | E, R | Scope.Scope>
}

/** @internal */
export const make = Effect.fnUntraced(function* (
  { folder, format }: Pick<Where, "folder" | "format">,
  { paths, statements }: OutPlan
): Effect.fn.Return<Out, never, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const services = Context.make(FileSystem.FileSystem, yield* FileSystem.FileSystem).pipe(Context.add(Path.Path, path))
  const pathOf = (query: FileQuery): string | undefined => {
    const below = paths.get(query)
    return below === undefined ? undefined : path.join(folder, ...below.split("/"))
  }
  return {
    folder,
    isFor: (query, statement) => statements.get(query) === statement,
    pathOf,
    fill: (query, copy) => {
      const target = pathOf(query)
      if (target === undefined) return Effect.die(new Error(`Query "${query.name}" has no file`))
      return Effect.provideContext(fill(target, format, copy), services)
    }
  }
})

/**
 * The file of the attempt under way: filled within the session, kept when that is back.
 *
 * @internal
 */
export class Filing {
  private readonly out: Out
  private readonly query: FileQuery
  private readonly onKept: (file: OutFile) => void
  private scope: Scope.Scope | undefined
  private filled: Filled | undefined

  constructor(out: Out, query: FileQuery, onKept: (file: OutFile) => void) {
    this.out = out
    this.query = query
    this.onKept = onKept
  }

  isFor(statement: SqlStatement): boolean {
    return this.out.isFor(this.query, statement)
  }

  /** An attempt, after which its file is kept, and without which nothing of it is left. */
  attempt<A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | SinkError, R> {
    return Effect.scopedWith((scope) => {
      this.scope = scope
      this.filled = undefined
      return Effect.tap(body, () => this.keep)
    })
  }

  fill<E, R>(
    copy: (receiver: RowReceiver) => Effect.Effect<number, E, R>
  ): Effect.Effect<Filled | undefined, E | SinkError, R> {
    return Effect.suspend(() => {
      const { scope } = this
      if (scope === undefined) return Effect.die(new Error("A file was filled outside of an attempt"))
      return Effect.tap(Scopes.provide(this.out.fill(this.query, copy), scope), (filled) =>
        Effect.sync(() => {
          this.filled = filled
        })
      )
    })
  }

  private readonly keep = Effect.suspend(() => {
    const { filled } = this
    const path = this.out.pathOf(this.query)
    if (filled === undefined || path === undefined) return Effect.void
    return Effect.map(filled.keep, () => this.onKept({ path, bytes: filled.bytes }))
  })
}

type Pool = QueryPool["Service"]

/**
 * A pool that keeps the files of these queries when it has taken their sessions back.
 *
 * @internal
 */
export const keeping = (pool: Pool, filings: ReadonlyMap<object, Filing>): Pool => {
  const use: Pool["use"] = (query, body, terms) => {
    const filing = filings.get(query)
    const using = pool.use(query, body, terms)
    // A SinkError is among what the body itself fails with, which its type says and this one's cannot.
    return filing === undefined ? using : (filing.attempt(using) as typeof using)
  }
  return { ...pool, use }
}
