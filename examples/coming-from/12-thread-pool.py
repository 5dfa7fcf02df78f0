# What calculates for long goes to threads, and what waits for it stays in a greenlet.
from gevent import monkey

monkey.patch_all()

import gevent


def primes_below(n):
    sieve = bytearray([1]) * n
    for i in range(2, int(n**0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(range(i * i, n, i)))
    return sum(sieve[2:])


pool = gevent.get_hub().threadpool  # one lock for all of them: they take turns
print([job.get() for job in [pool.spawn(primes_below, n) for n in (1_000, 100_000)]])
