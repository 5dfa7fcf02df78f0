# A task that reads the database, and gives its session back however it ends.
import os

from celery import Celery, Task
from celery.contrib.testing.worker import start_worker
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

app = Celery(broker="memory://", backend="cache+memory://")
Session = scoped_session(sessionmaker(create_engine(os.environ["DATABASE_URL"])))


class DatabaseTask(Task):
    def after_return(self, *args, **kwargs):
        Session.remove()  # forgotten in one task, the next one gets its transaction


@app.task(base=DatabaseTask)
def count_tables(schema):
    found = Session.execute(
        text("select count(*) > 0 from pg_tables where schemaname = :schema"), {"schema": schema}
    )
    return found.scalar()


with start_worker(app, perform_ping_check=False):
    if count_tables.delay("pg_catalog").get():
        print("there are tables")
