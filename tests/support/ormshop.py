"""A shop as an application maps it, with enough embedded rows that an HNSW index is worth its name."""

from __future__ import annotations

import sqlalchemy as sa
from photostore import make_collection
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from imgvec_pg.database.connect import Connection
from imgvec_pg.sqlalchemy import EmbeddingMixin
from imgvec_pg.store.index.build import build_index

ROWS, DIMENSIONS = 3000, 8


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="shop")


class Brand(Base):
    __tablename__ = "brand"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    name: Mapped[str]
    price: Mapped[int]
    file: Mapped[str]
    brand_id: Mapped[int] = mapped_column(sa.ForeignKey(Brand.id))
    brand: Mapped[Brand] = relationship()
    reviews: Mapped[list[Review]] = relationship(order_by="Review.id")
    clip: Mapped[ProductClip | None] = relationship(viewonly=True)


class Review(Base):
    __tablename__ = "review"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(sa.BigInteger, sa.ForeignKey(Product.id))
    stars: Mapped[int]


class ProductClip(EmbeddingMixin, Base):
    __source__ = Product
    __collection__ = "product_clip"

    source: Mapped[Product]


class Sale(Base):
    """A key of two columns, which Python calls by other names."""

    __tablename__ = "sale"
    tenant: Mapped[int] = mapped_column("tenant_id", sa.Integer, primary_key=True)
    number: Mapped[int] = mapped_column("no", sa.Integer, primary_key=True)
    file: Mapped[str]


class SaleClip(EmbeddingMixin, Base):
    __source__ = Sale
    __collection__ = "sale_clip"


def make_shop(connection: Connection, dsn: str) -> None:
    """Make the tables by SQLAlchemy and the collections as `imgvec collection create` does, with random vectors.

    The planner would rather compare a few thousand rows; a large table is what this stands for.
    """
    connection.execute("CREATE SCHEMA shop")
    engine = sa.create_engine(sqlalchemy_url(dsn))
    Base.metadata.create_all(engine)
    engine.dispose()
    connection.execute("INSERT INTO shop.brand SELECT i, 'brand ' || i FROM generate_series(0, 9) AS i")
    connection.execute(
        "INSERT INTO shop.product SELECT i, 'name ' || i, i %% 100, i || '.jpg', i %% 10 FROM generate_series(1, %s) AS i",
        [ROWS],
    )
    connection.execute(
        "INSERT INTO shop.review SELECT i, 1 + i / 2, i %% 6 FROM generate_series(1, %s) AS i", [ROWS]
    )
    connection.execute("INSERT INTO shop.sale SELECT i % 2, i, i || '.jpg' FROM generate_series(1, 200) AS i")
    for table, keys in (("product", "id"), ("sale", "tenant_id, no")):
        collection = make_collection(
            connection, f"shop.{table}", f"{table}_clip", dimensions=DIMENSIONS, m=4, ef_construction=16
        )
        connection.execute("SELECT setseed(0.5)")
        connection.execute(
            f"INSERT INTO imgvec.{table}_clip_embedding ({keys}, embedding, version, content_hash, precision)"
            f" SELECT {keys}, l2_normalize((SELECT array_agg(random() - 0.5) FROM generate_series(1, {DIMENSIONS})"
            " WHERE s.file > '')::vector::halfvec), 0, '', 'fp32' FROM shop." + table + " AS s"
        )
        build_index(connection, collection)
    connection.execute(
        "INSERT INTO imgvec.text_embedding (model_id, text, embedding) SELECT c.model_id, 'seven', e.embedding"
        " FROM imgvec.collection AS c, imgvec.product_clip_embedding AS e WHERE c.name = 'product_clip' AND e.id = 7"
    )
    connection.execute("DELETE FROM imgvec.job; ANALYZE")
    database = connection.info.dbname
    for setting in ("enable_sort", "enable_seqscan", "enable_bitmapscan"):
        connection.execute(f'ALTER DATABASE "{database}" SET {setting} = off')


def sqlalchemy_url(dsn: str) -> sa.URL:
    """Return a libpq connection string as SQLAlchemy takes it."""
    from psycopg.conninfo import conninfo_to_dict

    given = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    known = {name: given.pop(name, None) for name in ("user", "password", "host", "port", "dbname")}
    query = {**given, **({"host": known["host"]} if known["host"] else {})}
    return sa.URL.create(
        "postgresql+psycopg",
        known["user"],
        known["password"],
        port=int(known["port"]) if known["port"] else None,
        database=known["dbname"],
        query=query,
    )
