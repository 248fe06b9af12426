"""search() of SQLAlchemy and Flask, and near() of Django, on a coordinator, over a table of its own, against exact distances."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from fresh_databases import Server, fresh_database
from ormshop import sqlalchemy_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from stockproject import Project
from vectorstore import make_items, vectors

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.errors import CollectionNotFoundError, UsageError
from imgvec_pg.flask import ImgVec
from imgvec_pg.sqlalchemy import Row, search

ROWS = 300
"""Of each of two shards; the second's keys come after the first's. Without an index, so that all is exact."""


class Base(DeclarativeBase):
    pass


class Stock(Base):
    __tablename__ = "stock"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    shelf: Mapped[int]


class Label(Base):
    __tablename__ = "label"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    stock_id: Mapped[int] = mapped_column(sa.ForeignKey("stock.id"))


@pytest.fixture(scope="module")
def coordinator(server: Server, template: str) -> Iterator[str]:
    with ExitStack() as stack:
        here, *shards = (stack.enter_context(fresh_database(server, template)) for _ in range(3))
        for place, dsn in enumerate(shards):
            with connect(dsn) as connection:
                make_items(connection, ROWS)
                if place:
                    half = vectors(2 * ROWS)[ROWS:]
                    connection.execute("TRUNCATE imgvec.item_test_embedding")
                    connection.execute("UPDATE shop.item SET id = id + %s", [ROWS])
                    with connection.cursor().copy(
                        "COPY imgvec.item_test_embedding (id, embedding, version, content_hash, precision) FROM STDIN"
                    ) as copy:
                        for key, vector in enumerate(half, 1 + ROWS):
                            copy.write_row((key, str(vector.tolist()), 1, "", "fp32"))
                else:
                    with connection.cursor() as cursor:
                        cursor.executemany(
                            "UPDATE imgvec.item_test_embedding SET embedding = %s WHERE id = %s",
                            [(str(v.tolist()), key) for key, v in enumerate(vectors(2 * ROWS)[:ROWS], 1)],
                        )
            assert run(cli, ["shard", "add", f"s{place}", "--at", dsn, "--dsn", here]) == 0
        assert run(cli, ["shard", "span", "item_test", "--shards", "s0,s1", "--dsn", here]) == 0
        with connect(here) as connection:
            connection.execute(
                "CREATE TABLE stock AS SELECT i::bigint AS id, (i % 10)::integer AS shelf, 'x' AS photo"
                " FROM generate_series(1, 500) AS i;"
                "CREATE TABLE label AS SELECT i::bigint AS id, i::bigint AS stock_id FROM generate_series(1, 500, 3) AS i"
            )
        yield here


@pytest.fixture
def session(coordinator: str) -> Iterator[Session]:
    engine = sa.create_engine(sqlalchemy_url(coordinator))
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def query(seed: int = 3) -> np.ndarray:
    return vectors(1, seed)[0]


def nearest(keys: range, k: int, asked: np.ndarray | None = None) -> list[int]:
    """Return the keys of the k nearest of these, by exact distance."""
    places = np.array(keys)
    # As halfvec has them.
    stored, asked = (
        part.astype(np.float16).astype(np.float64)
        for part in (vectors(2 * ROWS)[places - 1], query() if asked is None else asked)
    )
    distances = 1 - stored @ asked / np.linalg.norm(stored, axis=1)
    return places[np.argsort(distances, kind="stable")[:k]].tolist()


def test_the_nearest_rows_of_a_select_come_from_all_shards(session: Session) -> None:
    found = search(session, sa.select(Stock), query(), 20, by="item_test")
    assert [row.Stock.id for row in found.rows] == nearest(range(1, 501), 20)
    assert found.strategy == "exact (2 of 2 shards)"
    distances = [row.distance for row in found.rows]
    assert distances == sorted(distances)


def test_what_the_shards_have_and_the_select_has_not_takes_no_place(session: Session) -> None:
    """Keys 501 to 600 are on a shard alone: joined with the nearest of all, the answer would be short."""
    asked = vectors(2 * ROWS)[549]
    assert set(nearest(range(1, 601), 20, asked)) & set(range(501, 601))
    found = search(session, sa.select(Stock), asked, 20, by="item_test")
    assert [row.Stock.id for row in found.rows] == nearest(range(1, 501), 20, asked)


def test_conditions_and_joins_leave_no_answer_short(session: Session) -> None:
    on_shelf = search(session, sa.select(Stock.id).where(Stock.shelf == 3), query(), 30, by="item_test")
    assert [row.id for row in on_shelf.rows] == nearest(range(3, 501, 10), 30)
    labelled = sa.select(Stock, Label.id).join(Label, Label.stock_id == Stock.id)
    joined = search(session, labelled, query(), 30, by="item_test", key=[Stock.id])
    assert [row.Stock.id for row in joined.rows] == nearest(range(1, 501, 3), 30)
    nothing = search(session, sa.select(Stock).where(Stock.shelf > 10), query(), by="item_test")
    assert nothing.rows == []


def test_a_row_is_asked_with_and_not_in_its_own_answer(session: Session) -> None:
    found = search(session, sa.select(Stock), Row(400), 10, by="item_test")
    expected = nearest(range(1, 501), 11, vectors(2 * ROWS)[399])
    assert expected[0] == 400 and [row.Stock.id for row in found.rows] == expected[1:]
    assert search(session, sa.select(Stock), Row(4000), 10, by="item_test").rows == ()


def test_what_cannot_be_had_over_shards_is_said(session: Session) -> None:
    with pytest.raises(UsageError, match="distinct counts rows with one picture"):
        search(session, sa.select(Stock), query(), by="item_test", distinct=True)
    with pytest.raises(UsageError, match=r"0 tables of the select have the key of item_test \(id\)"):
        search(session, sa.select(sa.literal(1)), query(), by="item_test")
    with pytest.raises(UsageError, match="the vector has shape"):
        search(session, sa.select(Stock), [1.0, 0.0], by="item_test")
    with pytest.raises(CollectionNotFoundError, match='collection "other" does not exist'):
        search(session, sa.select(Stock), query(), by="other")


def test_flask_asks_the_shards_too(coordinator: str) -> None:
    app = Flask("test")
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy_url(coordinator)
    db = SQLAlchemy()
    db.init_app(app)
    images = ImgVec(app, db)
    with app.app_context():
        found = images.search(sa.select(Stock), query(), 10, by="item_test")
        assert [row.Stock.id for row in found.rows] == nearest(range(1, 501), 10)
        db.session.remove()
        db.engine.dispose()


MODELS = """
from django.db import models
from imgvec_pg.django import ImageSearch, ImageSearchManager

class Stock(models.Model):
    shelf = models.IntegerField()
    photo = models.TextField()
    clip = ImageSearch("photo", model="test/48", collection="item_test", root="/srv/photos")
    objects = ImageSearchManager()

    class Meta:
        managed = False
        db_table = "stock"
"""

ASK = """
import django, json, sys
django.setup()
from django.db import transaction
from django.db.models import Q
from shop.models import Stock
from imgvec_pg.errors import ImgvecError

asked, far = json.loads(sys.argv[1])
near = Stock.objects.near

def refused(rows):
    try:
        list(rows)
    except ImgvecError as error:
        return str(error)

with transaction.atomic():
    in_transaction = [row.pk for row in near(asked)[:20]]
print(json.dumps({
    "all": [[row.pk, row.distance] for row in near(asked)[:20]],
    "in a transaction": in_transaction,
    "second page": [row.pk for row in near(asked)[5:20]],
    "lacking": [row.pk for row in near(far)[:20]],
    "filtered": [row.pk for row in near(asked).filter(shelf=3).exclude(pk=13)[:30]],
    "filtered before": list(Stock.objects.filter(shelf=3).near(asked).values_list("pk", flat=True)[:30]),
    "or": [row.pk for row in (near(asked).filter(shelf=1) | near(asked).filter(shelf=2))[:20]],
    "and": [row.pk for row in (near(asked) & near(asked).filter(shelf=2))[:20]],
    "complex": [row.pk for row in near(asked).complex_filter(Q(shelf=2))[:20]],
    "extra": [row.pk for row in near(asked).extra(where=["shelf = 2"])[:20]],
    "by distance": [row.pk for row in near(asked).filter(distance__lt=2)[:5]],
    "none": list(near(asked).filter(shelf__gt=10)[:5]) + list(near(asked).filter(pk__in=[])[:5]),
    "row": [row.pk for row in near(400)[:10]],
    "no such row": list(near(4000)[:10]),
    "distinct": refused(near(asked, distinct=True)[:10]),
    "words": refused(near("red shoes")[:10]),
    "dimensions": refused(near([1.0, 0.0])[:10]),
}))
"""


def test_django_asks_the_shards_too(coordinator: str, tmp_path: Path) -> None:
    project = Project(tmp_path, coordinator, MODELS)
    with (tmp_path / "mysite/settings.py").open("a") as settings:
        # No catalogue has the model of these vectors.
        settings.write('SILENCED_SYSTEM_CHECKS = ["imgvec_pg.E002", "imgvec_pg.I001"]\n')
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    far = vectors(2 * ROWS)[549]
    vector_pair = json.dumps([query().tolist(), far.tolist()])
    found = json.loads(project.python("-c", ASK, vector_pair).splitlines()[-1])
    every = nearest(range(1, 501), 20)
    assert [key for key, _ in found["all"]] == found["in a transaction"] == every
    assert [distance for _, distance in found["all"]] == sorted(distance for _, distance in found["all"])
    assert found["second page"] == every[5:]
    assert found["lacking"] == nearest(range(1, 501), 20, far)
    on_shelf = nearest(range(3, 501, 10), 31)
    assert found["filtered"] == [key for key in on_shelf if key != 13][:30]
    assert found["filtered before"] == on_shelf[:30]
    on_two = nearest(range(2, 501, 10), 20)
    assert found["and"] == found["complex"] == found["extra"] == on_two
    assert found["or"] == [key for key in nearest(range(1, 501), 500) if key % 10 in (1, 2)][:20]
    assert found["by distance"] == every[:5]
    assert found["none"] == found["no such row"] == []
    assert found["row"] == nearest(range(1, 501), 11, vectors(2 * ROWS)[399])[1:]
    assert "distinct counts rows with one picture, which shards do not tell" in found["distinct"]
    assert "has not been embedded yet" in found["words"]
    assert "the vector has shape" in found["dimensions"]
