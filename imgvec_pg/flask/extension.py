"""`ImgVec`: the extension that knows the application's database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import Flask, current_app
from PIL.Image import Image
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.flask.commands import imgvec_command
from imgvec_pg.flask.error_hints import flask_commands
from imgvec_pg.search.query_client import vector_of_image, vector_of_words
from imgvec_pg.sqlalchemy.executor import Found, connection_of
from imgvec_pg.sqlalchemy.query import Picture, QueryInput, Words, read_query
from imgvec_pg.sqlalchemy.resolve import AnySelect, find_class, target_of
from imgvec_pg.sqlalchemy.search import search
from imgvec_pg.sqlalchemy.select_shape import check_select
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.mixin import EmbeddingMixin
from imgvec_pg.store.registry import get_collection, spans_shards

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy

DRIVER = "psycopg"


class ImgVec:
    """Image search over the database of Flask-SQLAlchemy.

    Configuration: IMGVEC_EMBED is who embeds words and pictures that are not cached: "auto" (the default: a running
    worker, else this process), "worker" or "process".

    Args:
        app: The application; or later, by init_app.
        db: Its Flask-SQLAlchemy.
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
        statement: AnySelect,
        question: QueryInput,
        k: int = 10,
        *,
        by: type[EmbeddingMixin] | str | None = None,
        key: Sequence[sa.ColumnElement[Any]] | None = None,
        distinct: bool = False,
    ) -> Found:
        """Find the k nearest of the rows that a select gives, never fewer while more match.

        It is imgvec_pg.sqlalchemy.search() in the application's session; but words and pictures that are not cached are
        embedded as IMGVEC_EMBED says, which needs no dblink in the database.

        Args:
            statement: A select over the collection's source, with any joins and conditions, without ORDER BY and LIMIT.
            question: Words; a picture (bytes, a Path, a PIL image); a row of the source, which is then not in its own
                answer, and near which nothing is while it is not embedded; or a vector, shape (dimensions,).
            k: Rows wanted, 1 to 10,000.
            by: The embedding class or the collection's name, where the select's source has several or no class.
            key: The source's key columns in the statement, where it has the source under another name or twice.
            distinct: k different pictures, each by the row with the smallest key of those that the select gives, with `copies`,
                how many they are, as the last column.

        Returns:
            `.rows`, nearest first, each with what the select has and `distance` last; `.strategy` tells how they were found.

        Raises:
            UsageError: The select, k or the query cannot be used.
            CollectionNotFoundError: The collection does not exist.
            NoWorkerError, ModelError: The query cannot be embedded.
        """
        with flask_commands():
            return self._search(statement, question, k, by, key, distinct=distinct)

    def _search(
        self,
        statement: AnySelect,
        query: QueryInput,
        k: int,
        by: type[EmbeddingMixin] | str | None,
        key: Sequence[sa.ColumnElement[Any]] | None,
        *,
        distinct: bool,
    ) -> Found:
        # It refuses another database than PostgreSQL by psycopg 3.
        _ = self.engine
        session = self.db.session()
        check_select(statement, "search()")
        by = by or find_class(statement)
        is_to_embed = isinstance(query, str | bytes | Path | Image | Words | Picture)
        if by is None or is_to_embed:
            bound = connection_of(session, statement)
            # psycopg's transaction() would take itself for the outermost, and commit.
            bound.exec_driver_sql("SELECT")
            connection: Any = bound.connection.driver_connection
            name = by if by is None or isinstance(by, str) else target_of(by).name
            # What spans shards is embedded by a worker of theirs, as search() asks for it.
            if name is None or not spans_shards(connection, name):
                collection = get_collection(connection, name, say_which='by="NAME"')
                by = by or collection.name
                if is_to_embed:
                    query = self._embed(connection, collection, query)
        return search(session, statement, query, k, by=by, key=key, distinct=distinct)

    def _embed(self, connection: Connection, collection: Collection, query: QueryInput) -> QueryInput:
        """Have words or a picture embedded, by whom IMGVEC_EMBED says."""
        query, embedding = read_query(query, None), current_app.config["IMGVEC_EMBED"]
        if isinstance(query, Words) and isinstance(query.text, str):
            return vector_of_words(connection, collection, query.text, embedding)
        if isinstance(query, Picture):
            return vector_of_image(connection, collection, query.content, embedding)
        return query
