"""Words and pictures for applications: by a running worker or by the model in here, apart from the application's transaction."""

import threading
import time

import numpy as np
import pytest
from colorshop import embedding, make_shop, picture
from imgvec_test_embedder import ColorGrid
from photostore import new_role
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import ModelError, NoWorkerError, UsageError
from imgvec_pg.search import query_client, query_embedding
from imgvec_pg.search.query_client import vector_of_image, vector_of_words


def test_words_in_an_open_transaction_keep_nobody_waiting(connection: Connection, database: str) -> None:
    collection = make_shop(connection)
    with connect(database, options="-c statement_timeout=5s") as other, connection.transaction():
        found = vector_of_words(connection, collection, "blue cyan", "process")
        again = vector_of_words(other, collection, "blue cyan", "process")
    assert np.allclose(found, embedding("blue", "cyan"), atol=1e-3)
    assert np.allclose(found, again, atol=1e-3)


def test_a_running_worker_is_asked_and_no_model_is_loaded_here(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = make_shop(connection)
    with pytest.raises(NoWorkerError, match="start one: imgvec worker product_color"):
        vector_of_words(connection, collection, "red", "worker")
    monkeypatch.setattr(query_client, "model_here", lambda *_: pytest.fail("a model was loaded"))
    worker = Worker(database, collection.name, ColorGrid(), PipelineOptions(follow=True))
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not connection.execute("SELECT FROM imgvec.worker").fetchall():
            time.sleep(0.05)
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET imgvec.text_timeout = '30 s'")
        assert np.allclose(vector_of_words(connection, collection, "red"), embedding("red"), atol=1e-3)
        assert np.allclose(
            vector_of_image(connection, collection, picture("cyan")), embedding("cyan"), atol=1e-3
        )
        with pytest.raises(ModelError, match=r"could not embed this: .*colour words only"):
            vector_of_words(connection, collection, "no such thing")
    finally:
        worker.request_stop()
        running.join()


def test_a_reader_asks_with_words_that_are_new_and_with_pictures(
    connection: Connection, database: str
) -> None:
    collection = make_shop(connection)
    with new_role(
        connection, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop"
    ) as role:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(role)))
        with connect(make_conninfo(database, user=role)) as reader:
            found = vector_of_words(reader, collection, "blue cyan")
            assert np.allclose(found, embedding("blue", "cyan"), atol=1e-3)
            found = vector_of_image(reader, collection, picture("cyan"))
            assert np.allclose(found, embedding("cyan"), atol=1e-3)
            with pytest.raises(NoWorkerError, match="start one: imgvec worker product_color"):
                vector_of_words(reader, collection, "red", "worker")


def test_what_is_no_picture_is_refused_before_anybody_is_asked(connection: Connection) -> None:
    collection = make_shop(connection)
    for data in (b"", b"no picture"):
        with pytest.raises(UsageError, match="the picture cannot be used"):
            vector_of_image(connection, collection, data)


def test_words_are_looked_up_in_the_cache_once_and_their_use_is_noted(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = make_shop(connection)
    loaded: list[str] = []

    def load_and_count(name: str) -> sql.SQL:
        loaded.append(name)
        return load_sql(name)

    for module in (query_client, query_embedding):
        monkeypatch.setattr(module, "load_sql", load_and_count)
    new = vector_of_words(connection, collection, "red", "process")
    assert loaded.count("queries/cached_text.sql") == 1
    connection.execute("UPDATE imgvec.text_embedding SET used_at = now() - interval '3 days'")
    assert np.allclose(vector_of_words(connection, collection, "red", "process"), new, atol=1e-3)
    assert loaded.count("queries/cached_text.sql") == 2
    noted = connection.execute("SELECT used_at > now() - interval '1 hour' FROM imgvec.text_embedding")
    assert noted.fetchall() == [(True,)]
