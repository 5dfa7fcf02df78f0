# The welcome is sent for users that were committed, and for no others.
import os

from celery import Celery
from celery.contrib.testing.worker import start_worker
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

app = Celery(broker="memory://", backend="cache+memory://")
engine = create_engine(os.environ["DATABASE_URL"])


@app.task
def welcome(name):
    print(f"welcome, {name}")


def sign_up(session, name):
    session.execute(text("select 1"))
    # Inside the transaction a worker could be faster than the COMMIT.
    event.listen(session, "after_commit", lambda _: sent.append(welcome.delay(name)), once=True)


sent = []
with start_worker(app, perform_ping_check=False):
    with Session(engine) as session:
        sign_up(session, "Ann")
        session.commit()
    with Session(engine) as session:
        sign_up(session, "Bob")
        session.rollback()
    for result in sent:
        result.get()
