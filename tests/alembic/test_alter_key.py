"""A key that a revision makes wider takes its collection along, written by autogenerate, forwards and backwards."""

import re
from pathlib import Path

import pytest
from alembicapp import App

from imgvec_pg.alembic.migration_errors import MigrationError
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.renewal import has_outdated_triggers
from imgvec_pg.store.registry import get_collection

MODELS = """\
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from imgvec_pg.sqlalchemy import CollectionSpec, EmbeddingMixin


class Base(DeclarativeBase): ...


class Product(Base):
    __tablename__ = "product"
    {more}
    id = mapped_column({type}, primary_key=True)
    photo: Mapped[str | None]


class ProductClip(EmbeddingMixin, Base):
    __source__ = Product
    __collection__ = CollectionSpec(
        "product_clip", image="photo", root="/srv/photos", model="test", dimensions=3, has_text=True{options})
"""
TENANT = "tenant = mapped_column(sa.Integer, primary_key=True)"
# What the key was and becomes, as SQLAlchemy and PostgreSQL name it, what else the class has, and options of the collection.
KEYS = {
    "bigint": ("sa.Integer", "sa.BigInteger", "integer", "bigint", "", ""),
    "varchar": ("sa.String(8)", "sa.String(40)", "character varying(8)", "character varying(40)", "", ""),
    "numeric": ("sa.Numeric(4, 1)", "sa.Numeric(12, 3)", "numeric(4,1)", "numeric(12,3)", "", ""),
    "composite, partitions": (
        "sa.SmallInteger",
        "sa.Integer",
        "smallint",
        "integer",
        TENANT,
        ", partitions=2",
    ),
}


def assert_key(connection: Connection, type_name: str) -> Collection:
    collection = get_collection(connection, "product_clip")
    assert collection.key_types[-1] == type_name and not collection.has_other_key_types
    assert not has_outdated_triggers(connection, collection)
    return collection


# Alembic warns of what it writes itself for an integer that draws its values.
@pytest.mark.filterwarnings("ignore:autoincrement and existing_autoincrement")
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("case", KEYS)
def test_a_wider_key_is_followed(
    database: str, connection: Connection, tmp_path: Path, case: str, driver: str
) -> None:
    narrow, wide, before, after, more, options = KEYS[case]
    app = App(tmp_path, database, template="async" if driver == "asyncpg" else "generic", driver=driver)
    app.write(MODELS.format(type=narrow, more=more, options=options))
    app.autogenerate("first")
    app.alembic("upgrade", "head")
    collection = assert_key(connection, before)
    create_alias(connection, "products", "product_clip")
    tenant = "tenant, " if more else ""
    values = "1, 7" if more else "7"
    connection.execute(f"INSERT INTO product ({tenant}id, photo) VALUES ({values}, 'a.jpg')")  # type: ignore[arg-type]
    connection.execute(
        f"INSERT INTO imgvec.product_clip_embedding ({tenant}id, embedding, version, content_hash, precision)"  # type: ignore[arg-type]
        f" VALUES ({values}, '[1,0,0]', 1, '', 'fp32')"
    )
    app.write(MODELS.format(type=wide, more=more, options=options))
    text = app.autogenerate("wider")
    told = f"op.alter_collection_key('product_clip', key={{'id': '{after}'}}, old={{'id': '{before}'}})"
    assert told in text and text.index("op.alter_column") < text.index(told)
    app.alembic("upgrade", "head")
    assert_key(connection, after)
    app.alembic("check")
    found = connection.execute("SELECT count(*) FROM imgvec.near_products('[0,1,0]')").fetchone()
    assert found == (1,)
    app.alembic("downgrade", "-1")
    assert get_collection(connection, "product_clip") == collection
    assert_key(connection, before)


def test_a_key_that_is_wider_already_is_followed_and_sql_names_the_command(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    app = App(tmp_path, database)
    app.write(MODELS.format(type="sa.Integer", more="", options=""))
    app.autogenerate("first")
    app.alembic("upgrade", "head")
    connection.execute("ALTER TABLE product ALTER id TYPE bigint")
    app.write(MODELS.format(type="sa.BigInteger", more="", options=""))
    text = app.autogenerate("wider")
    assert "op.alter_collection_key(" in text and "op.alter_column" not in text
    printed = app.alembic("upgrade", "head", "--sql")
    assert re.search("SELECT 'run after this script: imgvec collection alter-key product_clip'", printed)
    app.alembic("upgrade", "head")
    assert_key(connection, "bigint")
    app.alembic("check")


def test_a_column_that_is_no_key_is_refused(database: str, connection: Connection, tmp_path: Path) -> None:
    app = App(tmp_path, database)
    app.write(MODELS.format(type="sa.Integer", more="", options=""))
    app.autogenerate("first")
    app.alembic("upgrade", "head")
    app.write_revision('op.alter_collection_key("product_clip", {"number": "bigint"})')
    with pytest.raises(MigrationError, match="no key column number; expected id"):
        app.alembic("upgrade", "head")


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("options", ["", ", partitions=2"], ids=["plain", "partitions"])
def test_a_source_that_hides_rows_is_followed_and_no_row_shown_meanwhile(
    database: str, connection: Connection, tmp_path: Path, driver: str, options: str
) -> None:
    app = App(tmp_path, database, template="async" if driver == "asyncpg" else "generic", driver=driver)
    app.write(MODELS.format(type="sa.String(8)", more="", options=options))
    app.autogenerate("first")
    app.alembic("upgrade", "head")
    connection.execute("ALTER TABLE product ENABLE ROW LEVEL SECURITY")
    reconcile(connection, get_collection(connection, "product_clip"))
    policies = (
        "SELECT polname::text FROM pg_policy WHERE polname IN ('follow_source', 'while_source_is_open')"
    )
    assert connection.execute(policies).fetchall() == [("follow_source",)]
    app.write(MODELS.format(type="sa.String(40)", more="", options=options))
    text = app.autogenerate("wider")
    up, down = text.split("def downgrade")
    assert up.index("op.hide_embeddings('product_clip')") < up.index("op.alter_column")
    assert down.index("op.alter_column") < down.index("op.show_embeddings('product_clip')")
    app.alembic("upgrade", "head")
    assert_key(connection, "character varying(40)")
    assert connection.execute(policies).fetchall() == [("follow_source",)]
    app.alembic("check")
    app.alembic("downgrade", "-1")
    assert_key(connection, "character varying(8)")
    assert connection.execute(policies).fetchall() == [("follow_source",)]
    printed = app.alembic("upgrade", "head", "--sql")
    assert printed.index("DROP POLICY IF EXISTS follow_source") < printed.index("ALTER COLUMN id TYPE")
