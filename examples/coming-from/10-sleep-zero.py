# A long loop that lets others have their turn.
from gevent import monkey

monkey.patch_all()

import gevent

beats = []


def heart():
    while True:
        beats.append(1)
        gevent.sleep(0)


def total(n):
    result = 0
    for i in range(n):
        result += i
        if i % 1000 == 0:
            gevent.sleep(0)  # without it nothing else runs
    return result


gevent.spawn(heart)
print(total(1_000_000))
if beats:
    print("others had their turn")
