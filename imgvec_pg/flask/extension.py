"""`ImgVec`: the extension that knows the application's database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from flask import Flask, current_app
from PIL.Image import Image
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.flask.commands import imgvec_command
from imgvec_pg.search.asking import read_vector
from imgvec_pg.search.clientside import vector_of_image, vector_of_words
from imgvec_pg.search.selects import Found, search
from imgvec_pg.store.collections import get_collection

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy

DRIVER = "psycopg"


class ImgVec:
    """Image search over the database of Flask-SQLAlchemy.

    Configuration: IMGVEC_EMBED is who embeds words and pictures that are not cached: "auto" (the default: a running
    worker, else this process), "worker" or "process".

    Args:
        app, db: Of the application; or later, by init_app.
        bind: Name of the bind that holds the pictures.
    """

    def __init__(
        self, app: Flask | None = None, db: "SQLAlchemy | None" = None, *, bind: str | None = None
    ) -> None:
        self._db = db
        self._bind = bind
        if app is not None:
            self.init_app(app, db)

    def init_app(self, app: Flask, db: "SQLAlchemy | None" = None) -> None:
        """Register with an application: its extension "imgvec" and the command `flask imgvec`."""
        self._db = db or self._db
        app.config.setdefault("IMGVEC_EMBED", "auto")
        app.extensions["imgvec"] = self
        app.cli.add_command(imgvec_command)

    @property
    def db(self) -> "SQLAlchemy":
        """The application's SQLAlchemy.

        Raises:
            UsageError: None was given, and the application has none.
        """
        if self._db is None:
            self._db = current_app.extensions.get("sqlalchemy")
        if self._db is None:
            raise UsageError(
                "ImgVec knows no database; expected ImgVec(app, db), or SQLAlchemy(app) before it"
            )
        return self._db

    @property
    def engine(self) -> sa.Engine:
        """The engine of the pictures' database.

        Raises:
            UsageError: It is not PostgreSQL by psycopg 3.
        """
        engine = self.db.engines[self._bind]
        if (engine.dialect.name, engine.dialect.driver) != ("postgresql", DRIVER):
            raise UsageError(
                f"the database is {engine.dialect.name}+{engine.dialect.driver}; expected SQLALCHEMY_DATABASE_URI to begin "
                "with postgresql+psycopg://"
            )
        return engine

    @property
    def dsn(self) -> str:
        """libpq's connection string, for commands and workers."""
        url = self.engine.url
        parts = {
            "host": url.host,
            "port": url.port,
            "user": url.username,
            "password": None if url.password is None else str(url.password),
            "dbname": url.database,
        }
        options = {name: value for name, value in url.query.items() if isinstance(value, str)}
        return make_conninfo("", **{**options, **{name: value for name, value in parts.items() if value}})

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a psycopg connection of the pool, in autocommit mode, apart from the session's transaction."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lent:
            driver_connection: Any = lent.connection.driver_connection
            yield driver_connection

    def search(
        self,
        statement: sa.Select[Any],
        asked: str | bytes | Image | npt.ArrayLike,
        k: int = 10,
        *,
        collection: str | None = None,
        key: Sequence[sa.ColumnElement[Any]] | None = None,
    ) -> Found:
        """Find the k nearest of the rows that a select gives, never fewer while more match.

        Args:
            statement: A select over the collection's source, with any joins and conditions, without ORDER BY and LIMIT.
            asked: Words; a picture as bytes or PIL image; or a vector, such as an embedding's own.
            k: Rows wanted, 1 to 10,000.
            collection: Its name; None takes the only one there is.
            key: The source's key columns in the statement, where it has the source under another name or twice.

        Returns:
            `.rows`, nearest first, each with what the select has and `distance` last; `.way` tells how they were found.

        Raises:
            UsageError: The select, k or what is asked with cannot be used.
            CollectionError: The collection does not exist.
        """
        session = self.db.session()
        bound = session.connection(bind_arguments={"bind": self.engine})
        # psycopg's transaction() would take itself for the outermost, and commit.
        bound.exec_driver_sql("SELECT")
        driver_connection: Any = bound.connection.driver_connection
        found = get_collection(driver_connection, collection, say_which='collection="NAME"')
        vector = self._vector(driver_connection, found, asked)
        return search(session, statement, found.name, vector, k, key=key)

    def embedding_of(self, collection: str, row: object) -> npt.NDArray[np.float32] | None:
        """Return the vector of a row that is embedded, to search for more like it; None while it is not.

        Args:
            row: An instance of the collection's source class, in the database.

        Raises:
            UsageError: The row has no key yet.
        """
        identity = sa.inspect(row).identity
        if identity is None:
            raise UsageError(f"{row!r} is not in the database yet; expected a row with a key")
        with self.connection() as connection:
            found = get_collection(connection, collection)
            table = sa.table(
                found.embedding_table,
                *(sa.column(name) for name in (*found.key_columns, "embedding")),
                schema="imgvec",
            )
        same = (table.c[name] == value for name, value in zip(found.key_columns, identity, strict=True))
        query = sa.select(sa.cast(table.c.embedding, sa.Text)).where(*same)
        text = self.db.session.scalar(query, bind_arguments={"bind": self.engine})
        return None if text is None else read_vector(text)

    def _vector(self, connection: Connection, collection: Any, asked: Any) -> npt.ArrayLike:  # noqa: ANN401
        embedding = current_app.config["IMGVEC_EMBED"]
        if isinstance(asked, str):
            return vector_of_words(connection, collection, asked, embedding)
        if isinstance(asked, bytes | Image):
            return vector_of_image(connection, collection, asked, embedding)
        vector: npt.ArrayLike = asked.to_list() if hasattr(asked, "to_list") else np.asarray(asked)
        return vector
