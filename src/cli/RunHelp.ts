/**
 * What `querypool run --help` says beside the list of its flags.
 *
 * @internal
 */

/** @internal */
export const summary = "Run the queries of .sql files, many at a time"

/** @internal */
export const description = `${summary}

  A file is one query, or many, each under a line \`-- name: x\`. Header lines
  under that, or at the top of the file for all of its queries, say how a query
  is run, and win over the flags:

    -- needs: a, b     starts when these have succeeded, is skipped otherwise
    -- tag: key=value  what --select tag:key=value finds
    -- timeout: 30s    time for it with its retries: 300ms, 30s, 5m, 2h
    -- retry: 3        retries after a lost connection, a deadlock and the like
    -- transaction     one transaction, instead of each statement by itself
    -- read-only       the server refuses whatever would write
    -- idempotent      twice does no more than once: retry whatever was applied
    -- partition: column=id parts=8
                       a query of one statement in so many parts at once, which
                       together give its rows, all of one moment

  There, a comment that begins with one lower-case word and a colon is a header,
  and an unknown one is refused. Every other comment is prose.

  --select chooses queries by their names or tags, and may be given again for
  more. What those need is run, too.

  :name in a query is a parameter: --param name=value binds its value, of which
  the server finds out the type. It is never part of the SQL.

  A query is retried as a whole, and only where nothing of it is kept, unless it
  is read-only or idempotent.

  With --snapshot each query is one transaction that only reads, and all see the
  moment in which the first of them started. Vacuum keeps what others delete for
  as long as that.

  With --out each query's rows go to a file there by its name, of one statement
  with a result: whole, or not there. --resume goes on with the run that was not
  finished there: what has succeeded is kept, and what may have been applied is
  not run again.

  With --targets the queries run on each database of a file, on all at once:

    # a line for each; PG* variables and the password file fill in the rest
    berlin = postgres://me@db1.example.com/shop

  --concurrency, --deadline and --on-error hold for each target. --total limits
  queries over all of them, and how many targets are under way. A target that
  hangs keeps up to --concurrency of it until its queries time out, so give a
  --timeout, too.

  --report out.html writes a page that shows when each query waited and ran, on
  which worker, and what bounded the run; out.svg a picture of it, out.json all
  of it as data. They have the SQL of the files in them.

  On a terminal, what runs is shown at its bottom. Elsewhere standard error has
  a line every 30 seconds, and with --quiet nothing.

  Exit code: 0 all succeeded, 1 some query failed or was skipped, 2 nothing was
  run, 130 interrupted. A first Ctrl-C cancels on the server, a second leaves at
  once.`

/** @internal */
export const examples = [
  { command: "querypool run queries/ --url postgres://me@db.example.com/shop", description: "A folder of queries" },
  { command: "echo 'select now()' | querypool run - --embedded", description: "Try one without a database" }
]
