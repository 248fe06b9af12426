"""search() over SQLAlchemy selects: never short, whatever joins and filters; it says which way it took."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from photostore import make_collection
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from imgvec_pg.database.connect import connect
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.search.selects import search
from imgvec_pg.store.indexbuild import build_index

ROWS, DIMENSIONS = 6000, 8
QUERY = np.eye(DIMENSIONS, dtype=np.float32)[0]


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="shop")


class Brand(Base):
    __tablename__ = "brand"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    photos: Mapped[list["Photo"]] = relationship(
        primaryjoin="Brand.id == foreign(Photo.brand_id)", viewonly=True, order_by="Photo.id"
    )


class Photo(Base):
    __tablename__ = "photo"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    file: Mapped[str]
    price: Mapped[float | None]
    brand_id: Mapped[int]
    brand: Mapped[Brand] = relationship(primaryjoin="foreign(Photo.brand_id) == Brand.id", viewonly=True)


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[sa.Engine]:
    """6,000 random directions in an HNSW index; price is the rank of a row's distance from QUERY."""
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute("CREATE TABLE shop.brand (id integer PRIMARY KEY, name text)")
        connection.execute("INSERT INTO shop.brand SELECT i, 'brand ' || i FROM generate_series(0, 99) AS i")
        connection.execute(
            "CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price numeric, brand_id integer)"
        )
        collection = make_collection(connection, dimensions=DIMENSIONS)
        connection.execute(
            f"INSERT INTO shop.photo SELECT i, i || '.jpg', NULL, i % 100 FROM generate_series(1, {ROWS}) AS i"
        )
        connection.execute("DELETE FROM imgvec.job; SELECT setseed(0.5)")
        connection.execute(
            "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
            f" SELECT id, l2_normalize((SELECT array_agg(random() - 0.5) FROM generate_series(1, {DIMENSIONS})"
            " WHERE s.id > 0)::vector::halfvec), 1, '', 'fp32' FROM shop.photo AS s"
        )
        connection.execute(
            "UPDATE shop.photo SET price = r.rank FROM (SELECT id, rank() OVER (ORDER BY embedding <=> %s::halfvec) AS rank"
            " FROM imgvec.photo_test_embedding) AS r WHERE photo.id = r.id",
            [str(QUERY.tolist())],
        )
        build_index(connection, collection)
        connection.execute("VACUUM ANALYZE")
    made = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(module_database))
    yield made
    made.dispose()


BRANDED = sa.select(Photo.id, Photo.price, Brand.name).join(Brand, Brand.id == Photo.brand_id)


@pytest.mark.parametrize(
    ("statement", "first", "way"),
    [
        (sa.select(Photo.id, Photo.price), 1, "index"),
        (sa.select(Photo.id, Photo.price).where(Photo.price <= 4000), 1, "index"),
        (sa.select(Photo.id, Photo.price).where(Photo.price > 2500), 2501, "index, then exact"),
        (sa.select(Photo.id, Photo.price).where(Photo.price > ROWS - 60), ROWS - 59, "exact"),
        (sa.select(Photo.id, Photo.price).where(Photo.price.between(50, 54)), 50, "exact"),
        (BRANDED.where(Photo.price > 10, Brand.name != "x"), 11, "index"),
        (BRANDED.where(Brand.name == "brand 7"), None, "exact"),
        (sa.select(Photo.id, Photo.price).where(Photo.price < 0), None, "exact"),
    ],
)
def test_search_is_never_short_and_says_its_way(
    engine: sa.Engine, statement: sa.Select[Any], first: int | None, way: str
) -> None:
    with engine.connect() as connection:
        matching = sorted(float(row.price) for row in connection.execute(statement))
        found = search(connection, statement, "photo_test", QUERY, 10)
    assert found.way == way
    prices = [float(row.price) for row in found.rows]
    assert len(prices) == min(10, len(matching))
    assert first is None or prices[0] == first
    assert len(set(prices) & set(matching[:10])) >= (9 if way == "index" else len(prices))
    distances = [row.distance for row in found.rows]
    assert distances == sorted(distances)


def test_a_session_gives_entities_and_keeps_its_settings(engine: sa.Engine) -> None:
    with Session(engine) as session:
        session.execute(sa.text("SELECT '[1]'::halfvec"))
        session.execute(sa.text("SET LOCAL hnsw.ef_search = 17"))
        found = search(session, sa.select(Photo).where(Photo.price <= 3000), "photo_test", QUERY, 3)
        assert [type(row[0]) for row in found.rows] == [Photo] * 3
        assert found.rows[0].Photo.price == 1
        assert session.scalar(sa.text("SHOW hnsw.ef_search")) == "17"
        assert session.scalar(sa.text("SHOW hnsw.iterative_scan")) == "off"


def test_collections_loaded_by_a_join_count_as_one_row(engine: sa.Engine) -> None:
    statement = sa.select(Photo).where(Photo.price <= 4000)
    with Session(engine) as session:
        found = search(
            session,
            statement.options(joinedload(Photo.brand).joinedload(Brand.photos)),
            "photo_test",
            QUERY,
            10,
        )
        plain = search(session, statement, "photo_test", QUERY, 10)
        assert [row[0] for row in found.rows] == [row[0] for row in plain.rows]
        assert len(found.rows) == 10
        assert {len(row.Photo.brand.photos) for row in found.rows} == {ROWS // 100}
        # Rows that look alike are not one.
        brands = search(session, sa.select(Photo.brand_id * 0), "photo_test", QUERY, 10)
        assert len(brands.rows) == 10


@pytest.mark.parametrize("length", [1e-30, 1e-9, 1e6, 1e30])
def test_a_vector_of_any_length_asks_by_its_direction(engine: sa.Engine, length: float) -> None:
    vector = QUERY.astype(np.float64) * length
    with engine.connect() as connection:
        found = search(connection, sa.select(Photo.price), "photo_test", vector, 5)
        exact = search(connection, sa.select(Photo.price), "photo_test", QUERY, 5)
    assert found == exact
    assert vector[0] == length


def test_an_index_that_cannot_give_the_order_is_not_asked(engine: sa.Engine) -> None:
    table, own = "imgvec.photo_test_embedding", "imgvec.photo_test_embedding_hnsw"
    among = sa.text(
        f"SELECT id FROM imgvec.search_photo_test('{QUERY.tolist()}', 10, ARRAY(SELECT id FROM shop.photo))"
    )
    with engine.connect() as connection:
        right = [row.id for row in search(connection, sa.select(Photo.id), "photo_test", QUERY).rows]
        assert set(connection.scalars(among)) == set(right)
        assert connection.scalar(sa.text("SELECT imgvec.last_search_way()")) == "index"
        connection.execute(sa.text(f"DROP INDEX {own}"))
        for index in ("embedding halfvec_l2_ops", "(binary_quantize(embedding)::bit(8)) bit_hamming_ops"):
            connection.execute(sa.text(f"CREATE INDEX other ON {table} USING hnsw ({index})"))
            found = search(connection, sa.select(Photo.id), "photo_test", QUERY)
            assert found.way == "exact"
            assert connection.scalars(among).all() == [row.id for row in found.rows]
            assert connection.scalar(sa.text("SELECT imgvec.last_search_way()")) == "exact"
            connection.execute(sa.text("DROP INDEX imgvec.other"))
        connection.rollback()


def test_an_alias_is_searched_by_its_own_key(engine: sa.Engine) -> None:
    other = sa.orm.aliased(Photo)
    statement = sa.select(other.id).where(other.price > ROWS - 5)
    with engine.connect() as connection:
        with pytest.raises(
            UsageError, match=r"reads shop.photo, .* 0 times under its own name; expected once"
        ):
            search(connection, statement, "photo_test", QUERY)
        assert len(search(connection, statement, "photo_test", QUERY, key=[other.id]).rows) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k is 0; expected 1 to 10000"),
        ({"k": 10_001}, "k is 10001"),
        ({"vector": np.zeros(DIMENSIONS)}, "zero or not finite"),
        ({"vector": np.full(DIMENSIONS, np.nan)}, "zero or not finite"),
        ({"vector": [1.0, 2.0]}, r"shape \(2,\); the collection's model gives \(8,\)"),
        ({"statement": sa.select(Photo.id).limit(3)}, "the select has LIMIT"),
        ({"vector": ["red"]}, "the vector is not made of numbers"),
        ({"key": []}, 'given; the key of collection "photo_test" is id'),
        ({"statement": sa.select(Photo.id).fetch(3)}, "the select has FETCH"),
        ({"statement": sa.select(sa.func.count()).having(sa.true())}, "the select has HAVING"),
        ({"statement": sa.union(sa.select(Photo.id), sa.select(Photo.id))}, "was given a CompoundSelect"),
        ({"collection": "a\0b"}, "does not exist"),
        ({"statement": sa.select(Photo.id).order_by(Photo.id)}, "the select has ORDER BY"),
        ({"statement": sa.select(Photo.id).distinct()}, "the select has DISTINCT"),
        ({"statement": sa.select(sa.func.count()).group_by(Photo.id)}, "the select has GROUP BY"),
        ({"statement": sa.select(Brand.id)}, "0 times"),
        ({"collection": "nothing"}, 'collection "nothing" does not exist'),
    ],
)
def test_what_cannot_be_meant_is_refused(engine: sa.Engine, change: dict[str, Any], message: str) -> None:
    arguments = {"statement": sa.select(Photo.id), "collection": "photo_test", "vector": QUERY, **change}
    with engine.connect() as connection, pytest.raises((UsageError, CollectionError), match=message):
        search(connection, **arguments)
