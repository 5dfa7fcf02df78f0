"""A pool of greenlets that takes queries from a queue: gevent, psycopg2 made green, and SQLAlchemy on top.

`sqlalchemy` runs each query on a connection of the engine's pool, as the engine does by default: in a transaction that
is rolled back when the connection returns, three round trips. `autocommit` is the same with one round trip. `raw` has
one psycopg2 connection per worker, in autocommit too, and no SQLAlchemy. `tally` is `sqlalchemy`, and adds up what it
finds as it comes: the third column of single rows.
"""

from gevent import monkey

monkey.patch_all()

import re
import sys

import gevent
import psycopg2
import psycopg2.extensions
import sqlalchemy
from gevent.queue import Empty, Queue
from gevent.socket import wait_read, wait_write

import peer


def wait(connection):
    """Lets other greenlets run while libpq waits for its socket."""
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        if state == psycopg2.extensions.POLL_READ:
            wait_read(connection.fileno())
        elif state == psycopg2.extensions.POLL_WRITE:
            wait_write(connection.fileno())
        else:
            raise psycopg2.OperationalError(f"unexpected state {state}")


class QueryPool:
    """Workers that run queries from one queue: a function `query -> rows` for each."""

    def __init__(self, workers):
        self.workers = workers

    def run(self, queries):
        tasks = Queue()
        results = [None] * len(queries)
        for task in enumerate(queries):
            tasks.put_nowait(task)

        def work(execute):
            while True:
                try:
                    index, query = tasks.get_nowait()
                except Empty:
                    return
                results[index] = execute(query)

        gevent.joinall([gevent.spawn(work, execute) for execute in self.workers], raise_error=True)
        return results


def options(job):
    return " ".join(f"-c {name}={value}" for name, value in job["startup"].items())


def open_sqlalchemy(job, keep=lambda rows: rows, **engine_options):
    # The host, the user, the password and the database come from libpq's environment variables.
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg2://",
        pool_size=job["workers"],
        max_overflow=0,
        connect_args={"options": options(job)},
        **engine_options,
    )
    # One text() per distinct text, so that SQLAlchemy compiles it once.
    texts = {
        statement["text"]: sqlalchemy.text(re.sub(r"\$(\d+)", r":p\1", statement["text"]))
        for statement in job["statements"]
    }
    queries = [
        (texts[statement["text"]], {f"p{n}": value for n, value in enumerate(statement["parameters"], 1)})
        for statement in job["statements"]
    ]

    def execute(query):
        text, parameters = query
        with engine.connect() as connection:
            return keep(connection.execute(text, parameters).fetchall())

    pool = QueryPool([execute] * job["workers"])
    return lambda: pool.run(queries)


def open_tally(job):
    found = {}

    def add(rows):
        for row in rows:
            found["rows"] += 1
            found["sum"] += row[2]

    run = open_sqlalchemy(job, keep=add)

    def tally():
        found.update(rows=0, sum=0)
        run()
        return dict(found)

    return tally


def open_autocommit(job):
    return open_sqlalchemy(job, isolation_level="AUTOCOMMIT")


def open_raw(job):
    queries = [
        (re.sub(r"\$\d+", "%s", statement["text"]), statement["parameters"] or None)
        for statement in job["statements"]
    ]

    def worker():
        connection = psycopg2.connect("", options=options(job))
        connection.autocommit = True

        def execute(query):
            with connection.cursor() as cursor:
                cursor.execute(*query)
                return cursor.fetchall()

        return execute

    pool = QueryPool([worker() for _ in range(job["workers"])])
    return lambda: pool.run(queries)


psycopg2.extensions.set_wait_callback(wait)
ways = {"sqlalchemy": open_sqlalchemy, "autocommit": open_autocommit, "raw": open_raw, "tally": open_tally}
peer.serve(ways[sys.argv[1]])
