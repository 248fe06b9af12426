"""search() over SQLAlchemy selects: never short, whatever joins and filters; it says which way it took."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from photostore import make_collection
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.index_methods.hnsw import HnswMethod
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.sqlalchemy.collection_cache import forget_state, read_state
from imgvec_pg.sqlalchemy.executor import search
from imgvec_pg.store.aliases import create_alias, drop_alias, get_alias, point_alias
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.stale_functions import refresh_functions

DEFAULT_SCAN_SETTINGS = {**HnswMethod.unknown_settings, "enable_sort": "on"}
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
    ("statement", "first", "strategy"),
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
def test_search_is_never_short_and_says_its_strategy(
    engine: sa.Engine, statement: sa.Select[Any], first: int | None, strategy: str
) -> None:
    with engine.connect() as connection:
        matching = sorted(float(row.price) for row in connection.execute(statement))
        found = search(connection, statement, "photo_test", QUERY, 10)
    assert found.strategy == strategy
    prices = [float(row.price) for row in found.rows]
    assert len(prices) == min(10, len(matching))
    assert first is None or prices[0] == first
    assert len(set(prices) & set(matching[:10])) >= (9 if strategy == "index" else len(prices))
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
        assert connection.scalar(sa.text("SELECT imgvec.last_search_strategy()")) == "index"
        connection.execute(sa.text(f"DROP INDEX {own}"))
        for index in ("embedding halfvec_l2_ops", "(binary_quantize(embedding)::bit(8)) bit_hamming_ops"):
            connection.execute(sa.text(f"CREATE INDEX other ON {table} USING hnsw ({index})"))
            forget_state(connection, "photo_test")
            found = search(connection, sa.select(Photo.id), "photo_test", QUERY)
            assert found.strategy == "exact"
            assert connection.scalars(among).all() == [row.id for row in found.rows]
            assert connection.scalar(sa.text("SELECT imgvec.last_search_strategy()")) == "exact"
            connection.execute(sa.text("DROP INDEX imgvec.other"))
        connection.rollback()
        forget_state(connection, "photo_test")


GROW = f"""
TRUNCATE imgvec.photo_test_embedding;
INSERT INTO imgvec.photo_test_embedding SELECT * FROM kept WHERE id <= {ROWS // 10}
"""
HIDE = """
CREATE ROLE imgvec_test_stale IN ROLE imgvec_reader;
GRANT USAGE ON SCHEMA shop TO imgvec_test_stale;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO imgvec_test_stale;
ALTER TABLE imgvec.photo_test_embedding ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON imgvec.photo_test_embedding USING (id % 50 = 7)
"""


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ("", "DROP INDEX imgvec.photo_test_embedding_hnsw"),
        (HIDE, "SET LOCAL ROLE imgvec_test_stale"),
        (GROW, f"INSERT INTO imgvec.photo_test_embedding SELECT * FROM kept WHERE id > {ROWS // 10}"),
        ("", "UPDATE imgvec.collection SET ef_search = 400"),
        ("", "SET LOCAL hnsw.ef_search = 400"),
    ],
)
def test_what_was_looked_up_before_a_change_gives_no_other_rows(
    engine: sa.Engine, before: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The index is exact enough here: 6,000 rows of 8 dimensions.
    monkeypatch.setattr("imgvec_pg.sqlalchemy.collection_cache.KEPT_SECONDS", 600.0)
    statements = [sa.select(Photo.id), BRANDED.where(Photo.price <= 4000), BRANDED.where(Photo.price > 2500)]
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TEMP TABLE kept AS SELECT * FROM imgvec.photo_test_embedding"))
        for part in filter(None, before.split(";")):
            connection.execute(sa.text(part))
        forget_state(connection, "photo_test")
        search(connection, sa.select(Photo.id), "photo_test", QUERY)
        connection.execute(sa.text(change))
        for statement in statements:
            assert not read_state(connection, "photo_test").is_fresh
            found = search(connection, statement, "photo_test", QUERY)
            assert len(found.rows) == 10
            assert [row.id for row in found.rows] == _nearest(connection, statement)
        connection.rollback()
        forget_state(connection, "photo_test")


def _nearest(connection: sa.Connection, statement: sa.Select[Any]) -> list[int]:
    """Return the keys of the ten nearest, by comparing all rows that the role sees."""
    matching = statement.subquery()
    embedding = sa.table("photo_test_embedding", sa.column("id"), sa.column("embedding"), schema="imgvec")
    distance = embedding.c.embedding.op("<=>")(sa.literal(str(QUERY.tolist()), sa.types.NullType()))
    nearest = sa.select(matching.c.id).join(embedding, embedding.c.id == matching.c.id)
    return list(connection.scalars(nearest.order_by(distance + sa.literal_column("0")).limit(10)))


def test_an_alias_that_was_switched_gives_the_new_collection_at_once(
    engine: sa.Engine, module_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgvec_pg.sqlalchemy.collection_cache.KEPT_SECONDS", 600.0)
    with connect(module_database) as owner:
        second = make_collection(owner, name="photo_second", dimensions=4)
        owner.execute("DELETE FROM imgvec.job")
        owner.execute(
            "INSERT INTO imgvec.photo_second_embedding (id, embedding, version, content_hash, precision)"
            " SELECT i, '[1,0,0,0]', 1, '', 'fp32' FROM generate_series(41, 43) AS i"
        )
        create_alias(owner, "shown", "photo_test")
        with pytest.raises(CollectionError, match=r"there are: photo_second, photo_test; aliases: shown$"):
            get_collection(owner, "nothing")
        with engine.connect() as connection:
            assert len(search(connection, sa.select(Photo.id), "shown", QUERY).rows) == 10
            connection.commit()
            with owner.transaction():
                point_alias(owner, get_alias(owner, "shown"), second)
            assert not read_state(connection, "shown").is_fresh
            found = search(connection, sa.select(Photo.id), "shown", QUERY[:4])
            assert sorted(row.id for row in found.rows) == [41, 42, 43]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "AUTOCOMMIT"])
@pytest.mark.parametrize("has_library", [True, False])
def test_settings_are_as_before(module_database: str, isolation: str, has_library: bool) -> None:
    made = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(module_database), isolation_level=isolation
    )
    with made.connect() as connection:
        wanted = DEFAULT_SCAN_SETTINGS
        if has_library:
            wanted = dict(
                zip(DEFAULT_SCAN_SETTINGS, ("strict_order", "17", "12345", "2", "off"), strict=True)
            )
            connection.execute(sa.text("SELECT '[1]'::halfvec"))
            for name, value in wanted.items():
                connection.execute(sa.select(sa.func.set_config(name, value, False)))
        found = search(connection, sa.select(Photo.id).where(Photo.price <= 4000), "photo_test", QUERY)
        assert (found.strategy, len(found.rows)) == ("index", 10)
        assert {name: connection.scalar(sa.text(f"SHOW {name}")) for name in wanted} == wanted
    made.dispose()


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
        ({"k": 2.5}, "k is 2.5; expected 1 to 10000 rows"),
        ({"k": None}, "k is None"),
        ({"k": "5"}, "k is '5'"),
        ({"k": True}, "k is True"),
        ({"collection": None}, "the collection is None; expected its name"),
        ({"vector": np.zeros(DIMENSIONS)}, "the vector is zero"),
        ({"vector": np.full(DIMENSIONS, np.nan)}, "the vector is not finite"),
        ({"vector": [1.0, 2.0]}, r"shape \(2,\); expected \(8,\), as the collection's model gives"),
        ({"statement": sa.select(Photo.id).limit(3)}, "the select has LIMIT"),
        ({"vector": ["red"]}, "cannot search for list; expected numbers of shape"),
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


class Unreadable(sa.types.TypeDecorator[str]):
    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        raise ValueError(f"cannot read {value}")


def test_settings_are_as_before_where_a_value_cannot_be_read(engine: sa.Engine) -> None:
    statement = sa.select(sa.type_coerce(Photo.file, Unreadable))
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT '[1]'::halfvec"))
        connection.execute(sa.text("SET LOCAL hnsw.iterative_scan = strict_order"))
        shown = [sa.text(f"SHOW {name}") for name in DEFAULT_SCAN_SETTINGS]
        before = [connection.scalar(show) for show in shown]
        with pytest.raises(ValueError, match=r"cannot read \d+.jpg"):
            search(connection, statement, "photo_test", QUERY)
        assert [connection.scalar(show) for show in shown] == before
        # The server's own error is told, not that its transaction takes no more.
        with pytest.raises(sa.exc.DataError, match="division by zero"), connection.begin_nested():
            search(connection, sa.select(1 / (Photo.id - Photo.id)), "photo_test", QUERY)
        assert [connection.scalar(show) for show in shown] == before


@pytest.mark.parametrize("options", [{"stream_results": True}, {"yield_per": 3}])
@pytest.mark.parametrize("is_of_connection", [True, False])
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "AUTOCOMMIT"])
def test_a_cursor_on_the_server_is_not_needed(
    engine: sa.Engine, options: dict[str, Any], is_of_connection: bool, isolation: str
) -> None:
    statement = sa.select(Photo.id).where(Photo.price <= 4000)
    with engine.connect().execution_options(isolation_level=isolation) as connection:
        if is_of_connection:
            connection.execution_options(**options)
        else:
            statement = statement.execution_options(**options)
        found = search(connection, statement, "photo_test", QUERY)
        assert (found.strategy, len(found.rows)) == ("index", 10)


@pytest.mark.parametrize("name", ["photo_again", "photo_alias"])
def test_a_collection_created_again_is_another_one_at_once(
    engine: sa.Engine, module_database: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("imgvec_pg.sqlalchemy.collection_cache.KEPT_SECONDS", 600.0)
    fourth = sa.select(Photo.id).where(Photo.id > 3)

    def create(owner: Connection, source: str, near: int) -> None:
        """Embed five rows, one of them in the direction that is asked for."""
        make_collection(owner, source, "photo_again", dimensions=4)
        create_alias(owner, "photo_alias", "photo_again")
        owner.execute("DELETE FROM imgvec.job")
        owner.execute(
            "INSERT INTO imgvec.photo_again_embedding (id, embedding, version, content_hash, precision)"
            " SELECT i, CASE i WHEN %s THEN '[1,0,0,0]' ELSE '[0,1,0,0]' END::halfvec, 1, '', 'fp32'"
            " FROM generate_series(1, 5) AS i",
            [near],
        )

    def drop(owner: Connection) -> None:
        drop_alias(owner, get_alias(owner, "photo_alias"))
        drop_collection(owner, get_collection(owner, "photo_again"))

    with connect(module_database) as owner, engine.connect() as connection:
        owner.execute("CREATE TABLE IF NOT EXISTS shop.other (id bigint PRIMARY KEY, file text)")
        owner.execute(
            "INSERT INTO shop.other SELECT id, file FROM shop.photo WHERE id <= 5 ON CONFLICT DO NOTHING"
        )
        create(owner, "shop.photo", 4)
        assert search(connection, fourth, name, QUERY[:4], 1).rows[0].id == 4
        connection.commit()
        drop(owner)
        create(owner, "shop.photo", 5)
        assert not read_state(connection, name).is_fresh
        assert search(connection, fourth, name, QUERY[:4], 1).rows[0].id == 5
        connection.commit()
        drop(owner)
        create(owner, "shop.other", 4)
        assert not read_state(connection, name).is_fresh
        with pytest.raises(UsageError, match=r"reads shop\.other, .* 0 times"):
            search(connection, fourth, name, QUERY[:4], 1)
        connection.commit()
        assert read_state(connection, name).source == ("shop", "other")
        drop(owner)


@pytest.mark.parametrize("name", ["photo_test", "shown_once"])
def test_that_the_collection_is_the_same_is_looked_at_once(engine: sa.Engine, name: str) -> None:
    plans: list[str] = []
    with engine.connect() as connection:
        if name == "shown_once":
            create_alias(connection.connection.driver_connection, name, "photo_test")

        @sa.event.listens_for(connection, "before_cursor_execute", retval=True)
        def explain(c: object, cursor: Any, statement: str, values: Any, *rest: object) -> tuple[str, Any]:
            if "near_" in statement:
                cursor.execute("EXPLAIN " + statement, values)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
            return statement, values

        assert search(connection, sa.select(Photo.id), name, QUERY).strategy == "index"
        connection.rollback()
        forget_state(connection, name)
    (plan,) = plans
    assert "One-Time Filter" in plan
    assert "InitPlan" in plan
    assert "photo_test_embedding_hnsw" in plan


@pytest.mark.parametrize("schema", ["ext", "public"])
def test_open_connections_follow_the_extension_into_another_schema(
    engine: sa.Engine, module_database: str, schema: str
) -> None:
    filtered = sa.select(Photo.id).where(Photo.price <= 4000)
    with engine.connect() as connection, connect(module_database) as owner:

        def found() -> list[list[int]]:
            asked = [search(connection, filtered, "photo_test", question, 10) for question in (QUERY, -QUERY)]
            connection.commit()
            return [[row.id for row in answer.rows] for answer in asked]

        before = found()
        owner.execute("CREATE SCHEMA IF NOT EXISTS ext")
        owner.execute(f"ALTER EXTENSION vector SET SCHEMA {schema}")  # type: ignore[arg-type]
        assert refresh_functions(owner).named_schemas != ()
        assert found() == before
    with engine.connect() as connection:
        assert found() == before
