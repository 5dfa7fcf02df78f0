# Try again, at most ten times, while the row is not there yet; fail at once for anything else.
import os

from celery import Celery
from celery.contrib.testing.worker import start_worker
from sqlalchemy import create_engine, text
from sqlalchemy.exc import NoResultFound

app = Celery(broker="memory://", backend="cache+memory://")
engine = create_engine(os.environ["DATABASE_URL"])


@app.task(bind=True, max_retries=10)
def greet(self, user_id):
    try:
        with engine.connect() as connection:
            name = connection.execute(text("select name from celery_user where id = :id"), {"id": user_id}).scalar_one()
            return f"Hello, {name}"
    except NoResultFound as error:
        if self.request.retries == 0:
            print("no such user yet")
        raise self.retry(exc=error, countdown=0.1)


with engine.begin() as connection:
    connection.execute(text("drop table if exists celery_user"))
    connection.execute(text("create table celery_user (id int primary key, name text)"))

with start_worker(app, perform_ping_check=False):
    greeting = greet.delay(7)
    while greeting.state != "RETRY":
        pass
    with engine.begin() as connection:
        connection.execute(text("insert into celery_user values (7, 'Ann')"))
    print(greeting.get())
