# Not now: in a while.
from celery import Celery
from celery.contrib.testing.worker import start_worker

app = Celery(broker="memory://", backend="cache+memory://")


@app.task
def remind(what):
    print(f"remember {what}")


with start_worker(app, perform_ping_check=False):
    reminder = remind.apply_async(["the milk"], countdown=0.2)
    print("asked for")
    reminder.get()
