"""Tasks that do nothing, as taskWays.ts has them: `tasks.py gevent|celery count` goes once, and prints what it took.

gevent's Pool starts a greenlet for each. Celery has its worker in a thread of this process, and broker and results in
memory.
"""

import json
import os
import resource
import sys
import time

concurrency = 100
batch_size = 1000


def open_gevent():
    import gevent
    from gevent.pool import Pool

    done = 0

    def noop():
        nonlocal done
        done += 1

    pool = Pool(concurrency)

    def run(size):
        greenlets = [pool.spawn(noop) for _ in range(size)]
        gevent.joinall(greenlets, raise_error=True)
        return sum(greenlet.successful() for greenlet in greenlets)

    return run, lambda: done, lambda: None


def open_celery():
    import logging

    from celery import Celery
    from celery.contrib.testing.worker import start_worker

    app = Celery(broker="memory://", backend="cache+memory://")
    done = 0

    @app.task
    def noop():
        nonlocal done
        done += 1

    logging.disable(logging.WARNING)
    # One thread: with more of them `done` would not be exact, and they would only wait for each other.
    worker = start_worker(app, pool="solo", perform_ping_check=False)
    worker.__enter__()

    def run(size):
        results = [noop.delay() for _ in range(size)]
        for result in results:
            result.get(interval=0.001)
        return len(results)

    return run, lambda: done, lambda: worker.__exit__(None, None, None)


way, count = sys.argv[1], int(sys.argv[2])
run, done_so_far, close = {"gevent": open_gevent, "celery": open_celery}[way]()


def peak():
    # Of this program alone: getrusage tells of the process, which was its parent's before this one was started.
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


before = os.times()
started = time.perf_counter()
rows = 0
while rows < count:
    rows += run(min(batch_size, count - rows))
seconds = time.perf_counter() - started
after = os.times()
spent = {
    "rows": rows,
    "sum": done_so_far(),
    "seconds": seconds,
    "cpuSeconds": after.user - before.user + after.system - before.system,
    "peakBytes": peak(),
}
print(json.dumps(spent), flush=True)
close()
