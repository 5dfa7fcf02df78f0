# What is in no hurry waits until nothing else is to be done.
from gevent import monkey

monkey.patch_all()

import gevent


def work(name):
    for _ in range(3):
        gevent.sleep(0)
    print(name)


def rebuild_index():
    gevent.idle()  # for ever, if there is always something
    print("index rebuilt")


index = gevent.spawn(rebuild_index)
gevent.joinall([gevent.spawn(work, "request 1"), gevent.spawn(work, "request 2"), index])
