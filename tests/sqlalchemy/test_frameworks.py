"""EmbeddingMixin on the bases that frameworks bring, and search() and near() over each driver's AsyncSession."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from ormshop import sqlalchemy_url
from photostore import X, Y, embed, make_photos
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column, registry
from sqlmodel import Field, SQLModel

from imgvec_pg.database.connect import connect
from imgvec_pg.errors import CollectionNotFoundError, DatabaseError, NoWorkerError, UsageError
from imgvec_pg.sqlalchemy import EmbeddingMixin, near, search

COLUMNS = ["id", "embedding", "version", "content_hash", "precision", "embedded_at", "reference_hash"]


class Plain(DeclarativeBase): ...


class Dataclass(MappedAsDataclass, DeclarativeBase): ...


class Swapped(DeclarativeBase, MappedAsDataclass):
    """Flask-SQLAlchemy's quickstart."""


def on_base(base: Any) -> tuple[Any, Any]:
    is_dataclass = issubclass(base, MappedAsDataclass)

    class Photo(base):
        __tablename__ = "photo"
        __table_args__ = {"schema": "shop"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True, **({"init": False} if is_dataclass else {}))
        file: Mapped[str | None]
        price: Mapped[float | None]

    class PhotoTest(EmbeddingMixin, base):
        __source__ = Photo
        __collection__ = "photo_test"

    return Photo, PhotoTest


def on_dataclass_mixin() -> tuple[Any, Any]:
    """A dataclass by the mixin on the class alone."""

    class Base(DeclarativeBase): ...

    class Photo(MappedAsDataclass, Base):
        __tablename__ = "photo"
        __table_args__ = {"schema": "shop"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        file: Mapped[str | None]

    class PhotoTest(EmbeddingMixin, MappedAsDataclass, Base):
        __source__ = Photo
        __collection__ = "photo_test"

    return Photo, PhotoTest


def on_sqlmodel() -> tuple[Any, Any]:
    class Photo(SQLModel, table=True):
        __table_args__ = {"schema": "shop"}
        id: int | None = Field(default=None, primary_key=True)
        file: str | None = None

    class PhotoTest(EmbeddingMixin, SQLModel, table=True):
        __source__ = Photo
        __collection__ = "photo_test"

    return Photo, PhotoTest


def by_decorator() -> tuple[Any, Any]:
    """Without a base, and without a source: the key is declared by hand."""
    mapper = registry()

    @mapper.mapped
    class Photo:
        __tablename__ = "photo"
        __table_args__ = {"schema": "shop"}  # noqa: RUF012
        id = mapped_column(sa.BigInteger, primary_key=True)
        file = mapped_column(sa.Text)

    @mapper.mapped_as_dataclass
    class PhotoTest(EmbeddingMixin):
        __tablename__ = "photo_test_embedding"
        __table_args__ = {"schema": "imgvec"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(sa.ForeignKey("shop.photo.id"), primary_key=True)

    return Photo, PhotoTest


@pytest.fixture(scope="module")
def dsn(module_database: str) -> str:
    with connect(module_database) as connection:
        collection = make_photos(connection, rows=3)
        embed(connection, collection, {1: X, 2: Y})
    return module_database


MADE = {
    "plain": lambda: on_base(Plain),
    "dataclass": lambda: on_base(Dataclass),
    "Flask-SQLAlchemy's order": lambda: on_base(Swapped),
    "dataclass mixin": on_dataclass_mixin,
    "SQLModel": on_sqlmodel,
    "decorator": by_decorator,
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_every_base_maps_the_embedding_table(dsn: str, make: Any) -> None:
    photo, photo_test = make()
    assert [column.name for column in photo_test.__table__.columns] == COLUMNS
    nullable = [column.name for column in photo_test.__table__.columns if column.nullable]
    assert nullable == ["reference_hash"]
    engine = sa.create_engine(sqlalchemy_url(dsn))
    with Session(engine) as session:
        found = session.execute(near(sa.select(photo), 1, k=2, by=photo_test)).all()
        assert [(row[0].id, row.distance) for row in found] == [(2, 1.0)]
        assert [row[0].id for row in search(session, sa.select(photo), X, 2, by=photo_test).rows] == [1, 2]
        one = session.get_one(photo_test, 1)
        assert list(one.embedding) == [1, 0, 0] and one.version == 1
        if hasattr(photo_test, "source"):
            assert one.source.file == "1.jpg"
    engine.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_async_session_searches_over_each_driver(dsn: str, driver: str) -> None:
    class Base(MappedAsDataclass, DeclarativeBase): ...

    photo, photo_test = on_base(Base)

    async def ask() -> None:
        engine = create_async_engine(sqlalchemy_url(dsn).set(drivername=f"postgresql+{driver}"))
        async with AsyncSession(engine) as session:
            found = await session.run_sync(search, sa.select(photo), X, 5)
            assert [(row[0].id, row.distance) for row in found.rows] == [(1, 0.0), (2, 1.0)]
            found = await session.run_sync(search, sa.select(photo.id).where(photo.price > 1), 1, 5)
            assert [tuple(row) for row in found.rows] == [(2, 1.0)]
            settings = (await session.execute(sa.text("SELECT current_setting('enable_sort')"))).scalar_one()
            assert settings == "on"
            for asked in (1, X):
                rows = (await session.execute(near(sa.select(photo.id), asked, k=60))).all()
                assert rows[-1].id == 2
            assert (await session.get_one(photo_test, 2)).version == 1
            for arguments, kind, told in (
                ((sa.select(photo), "words", 5), NoWorkerError, r"hint: "),
                (
                    (
                        sa.select(photo),
                        X,
                        5,
                    ),
                    CollectionNotFoundError,
                    "photo_none",
                ),
            ):
                more = {"by": "photo_none"} if kind is CollectionNotFoundError else {}
                with pytest.raises(kind, match=told):
                    await session.run_sync(lambda s, a=arguments, m=more: search(s, *a, **m))
                await session.rollback()
            with pytest.raises(UsageError, match="TextClause; expected a select"):
                await session.run_sync(search, sa.text("SELECT 1"), X, 3)
            await session.execute(sa.text("SET ROLE pg_monitor"))
            with pytest.raises(
                DatabaseError, match=r"may not do this: permission denied for .*grant it imgvec_reader"
            ):
                await session.run_sync(search, sa.select(photo), "words", 5)
        await engine.dispose()

    asyncio.run(ask())


def test_what_is_no_select_is_refused_in_one_line(dsn: str) -> None:
    photo, photo_test = on_base(type("Base", (DeclarativeBase,), {}))
    engine = sa.create_engine(sqlalchemy_url(dsn))
    with Session(engine) as session:
        for asked, name in (
            (sa.text("select 1"), "TextClause"),
            ("select 1", "str"),
            (photo, "DeclarativeAttributeIntercept"),
            (sa.union(sa.select(photo.id), sa.select(photo.id)), "CompoundSelect"),
            (session.query(photo), "Query"),
            (sa.update(photo), "Update"),
        ):
            for by in (None, photo_test, "photo_test"):
                with pytest.raises(UsageError, match=f"was given a {name}; expected a select"):
                    search(session, asked, X, 3, by=by)
                with pytest.raises(UsageError, match=f"was given a {name}; expected a select"):
                    near(asked, X, 3, by=by, key=None if by != "photo_test" else [photo.id])
    engine.dispose()
