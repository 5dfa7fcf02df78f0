# Several tasks at once, and one that gets what they found.
from celery import Celery, chord, group
from celery.contrib.testing.worker import start_worker

app = Celery(broker="memory://", backend="cache+memory://")


@app.task
def square(n):
    return n * n


@app.task
def total(squares):  # is not called when one of them has failed
    return sum(squares)


with start_worker(app, perform_ping_check=False):
    print(group([square.s(n) for n in (1, 2, 3)])().get())
    print(chord([square.s(n) for n in (1, 2, 3)], total.s())().get())
