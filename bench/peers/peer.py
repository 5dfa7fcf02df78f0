"""What the bench and its Python peers say to each other: one line of JSON each way.

The first line in is the job: {"workers", "startup", "statements": [{"text", "parameters", "compare"}]}. The peer opens
its pool and answers {"ready": true}. After that every line in asks for one round, answered by {"seconds", "answer"}.
The seconds are taken here, around the queries alone: starting Python, reading the job and making the digest are not in
them. The end of the input ends the peer, so it cannot outlive the bench.
"""

import gc
import hashlib
import json
import sys
import time


def serve(open_pool):
    """Serves rounds until the input ends. `open_pool(job)` returns a function that runs the job once and returns the
    rows of each statement, in the order of the statements; or the answer itself, where it kept no rows."""
    job = json.loads(sys.stdin.readline())
    run = open_pool(job)
    say({"ready": True})
    while sys.stdin.readline():
        gc.collect()
        started = time.perf_counter()
        results = run()
        seconds = time.perf_counter() - started
        say({"seconds": seconds, "answer": results if isinstance(results, dict) else answer_of(job, results)})


def say(message):
    print(json.dumps(message), flush=True)


def answer_of(job, results):
    """The digest of Job.ts, character by character."""
    digest = hashlib.sha256()
    rows = 0
    for index, (statement, result) in enumerate(zip(job["statements"], results)):
        rows += len(result)
        digest.update(f"#{index} {len(result)}\n".encode())
        if statement["compare"] == "rows":
            for line in sorted("\t".join("\\N" if value is None else str(value) for value in row) for row in result):
                digest.update(f"{line}\n".encode())
    return {"statements": len(results), "rows": rows, "sha256": digest.hexdigest()}
