# Beside the requests, and not before its time.
from gevent import monkey

monkey.patch_all()

import gevent


def forget(token):
    print(f"{token} is forgotten")


timer = gevent.spawn_later(0.1, forget, "token 7")
cancelled = gevent.spawn_later(0.1, forget, "token 8")
cancelled.kill()
print("two tokens")
timer.join()
