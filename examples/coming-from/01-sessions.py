# Six queries, five at a time, each on a session of its own.
from gevent import monkey

monkey.patch_all()

import os

from gevent.pool import Pool
from psycogreen.gevent import patch_psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

patch_psycopg()
engine = create_engine(os.environ["DATABASE_URL"], pool_size=5)
Session = scoped_session(sessionmaker(engine))

squares = [(f"{n} squared", n) for n in range(1, 7)]


def fetch(query):
    name, n = query
    try:
        return name, Session.execute(text("select :n * :n"), {"n": n}).scalar()
    except Exception:
        print("Query failed :(")  # and the caller gets None
    finally:
        Session.remove()  # or the greenlet keeps its connection


for name, value in Pool(5).imap(fetch, squares):
    print(f"{name}: {value}")
