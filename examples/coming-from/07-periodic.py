# Every so often, and at times of the calendar.
import threading

from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.schedules import crontab

app = Celery(broker="memory://", backend="cache+memory://")
ticks = threading.Semaphore(0)


@app.task
def tick():
    ticks.release()


@app.task
def clean_up():
    pass


app.conf.timezone = "Europe/Berlin"
app.conf.beat_schedule = {
    "tick": {"task": tick.name, "schedule": 0.1},
    "clean-up": {"task": clean_up.name, "schedule": crontab(hour=2, minute=30)},
}

with start_worker(app, perform_ping_check=False):
    # Another process, `celery beat`: exactly one, or everything happens twice.
    scheduler = app.Beat(scheduler="celery.beat:Scheduler").Service
    beat = scheduler(app, max_interval=0.05, scheduler_cls="celery.beat:Scheduler")
    threading.Thread(target=beat.start, daemon=True).start()
    for _ in range(3):
        ticks.acquire()
    print("three ticks")
    beat.stop()
