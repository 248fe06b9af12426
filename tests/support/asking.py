"""What the tests of words in plain SQL share."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from imgvec_test_embedder import ColorGrid
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.backfill.query_server import QueryServer
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.store.collection import Collection

PATIENT = "SET imgvec.text_timeout = '5 min'"
"""For a session that is to get an answer: by default it waits for 2 s, which a busy machine may take to give one."""


@contextmanager
def answering(database: str, collection: Collection, embedder: ColorGrid | None = None) -> Iterator[None]:
    """Answer as a worker does, in a thread of this process."""
    with QueryServer(database, collection.model_id, embedder or ColorGrid(), Silence()):
        yield


def embed_text(
    connection: Connection, words: str | None, collection: str = "product_color"
) -> npt.NDArray[np.float64]:
    row = connection.execute("SELECT imgvec.embed_text(%s, %s)::text", [collection, words]).fetchone()
    assert row is not None
    return np.array(row[0].strip("[]").split(","), dtype=float)


@contextmanager
def logged_in_reader(connection: Connection, database: str) -> Iterator[Connection]:
    """Give a connection of a new role that is a member of imgvec_reader and nothing else."""
    role = "imgvec_test_" + connection.info.dbname[-12:]
    name = sql.Identifier(role)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE imgvec_reader PASSWORD 'reader'").format(name))
    with connect(make_conninfo(database, user=role, password="reader")) as opened:
        yield opened
    connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))
