"""Words and pictures of a SQLAlchemy application, embedded by a running worker or in its own process."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from asking import answering
from colorshop import COLORS, embedding, make_shop, picture
from imgvec_test_embedder import NAME
from ormshop import sqlalchemy_url
from PIL import Image
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from imgvec_pg.database.connect import connect
from imgvec_pg.errors import (
    CollectionNotFoundError,
    DatabaseError,
    ImageError,
    ImgvecError,
    ModelError,
    NoWorkerError,
    UsageError,
)
from imgvec_pg.sqlalchemy import EmbeddingMixin, LocalModel, Row, near, search
from imgvec_pg.store.setup.text_relay import install_relay


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="shop")


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class ProductColor(EmbeddingMixin, Base):
    __source__ = Product
    __collection__ = "product_color"


@pytest.fixture(scope="module")
def session(module_database: str) -> Iterator[Session]:
    with connect(module_database) as connection:
        collection = make_shop(connection)
        has_dblink = bool(
            connection.execute("SELECT FROM pg_available_extensions WHERE name = 'dblink'").rowcount
        )
        if has_dblink:
            install_relay(connection)
        # A busy machine is no reason to fail.
        connection.execute(f"ALTER DATABASE \"{connection.info.dbname}\" SET imgvec.text_timeout = '30 s'")
    engine = sa.create_engine(sqlalchemy_url(module_database))
    with answering(module_database, collection), Session(engine) as opened:
        if not has_dblink:
            prepare_without_dblink(module_database)
        opened.info["has_dblink"] = has_dblink
        yield opened
    engine.dispose()


def prepare_without_dblink(dsn: str) -> None:
    """Have the words cached, as an application does where the server has no dblink."""
    with connect(dsn) as connection:
        for word in ("red", "yellow", "lime"):
            connection.execute("CALL imgvec.prepare_text('product_color', %s)", [word])


def nearest(session: Session, question: object) -> str:
    row = session.execute(near(sa.select(Product), question, k=1)).one()
    assert row.distance == pytest.approx(0, abs=1e-3)
    assert search(session, sa.select(Product.name), question, 1).rows[0].name == row.Product.name
    return row.Product.name.split()[0]


@pytest.mark.parametrize("color", COLORS[:3])
def test_words_and_pictures_of_every_form_find_their_color(
    session: Session, tmp_path: Path, color: str
) -> None:
    data = picture(color)
    (tmp_path / "asked.png").write_bytes(data)
    word = "lime" if color == "green" else color
    forms: list[object] = [word, embedding(color)]
    pictures = [data, tmp_path / "asked.png", Image.open(io.BytesIO(data))]
    if session.info["has_dblink"]:
        forms += pictures
    else:
        for asked in pictures:
            with pytest.raises(sa.exc.DBAPIError, match=r"dblink|words setup"), session.begin_nested():
                nearest(session, asked)
            with pytest.raises(NoWorkerError, match="words setup"), session.begin_nested():
                search(session, sa.select(Product), asked)
    assert [nearest(session, form) for form in forms] == [color] * len(forms)


REFUSED: list[tuple[object, dict[str, object], type[ImgvecError], str]] = [
    ("mauve", {}, ModelError, "the worker could not embed this: color-grid knows .*other words"),
    (b"no picture", {}, ModelError, "the worker could not embed this: .*another picture"),
    (7.5, {}, UsageError, "cannot search for float"),
    ("red", {"by": "no_such", "key": [Product.id]}, CollectionNotFoundError, '"no_such" does not exist'),
    (Row(1), {"by": "no_such", "key": [Product.id]}, CollectionNotFoundError, '"no_such" does not exist'),
]


@pytest.mark.parametrize(("asked", "options", "kind", "message"), REFUSED)
def test_search_tells_what_the_database_refuses_as_the_librarys_own_error(
    session: Session, asked: object, options: dict[str, Any], kind: type[ImgvecError], message: str
) -> None:
    if kind is ModelError and not session.info["has_dblink"]:
        pytest.skip("without dblink no worker is asked")
    with pytest.raises(kind, match=message), session.begin_nested():
        search(session, sa.select(Product), asked, **options)


def test_search_says_that_no_worker_can_be_asked(session: Session) -> None:
    with session.begin_nested() as savepoint:
        session.execute(sa.text("DROP FUNCTION IF EXISTS imgvec.relay_request"))
        with pytest.raises(NoWorkerError, match=r'"olive" has not been embedded yet .*words setup'):
            search(session, sa.select(Product), "olive")
        savepoint.rollback()


def test_search_leaves_the_applications_own_errors_to_sqlalchemy(session: Session) -> None:
    with pytest.raises(sa.exc.DataError, match="division by zero"), session.begin_nested():
        search(session, sa.select(Product).where(1 / (Product.id - Product.id) > 0), embedding("red"))
    with pytest.raises(sa.exc.ProgrammingError, match="no_such_table"), session.begin_nested():
        search(
            session, sa.select(Product).where(sa.text("EXISTS (SELECT FROM no_such_table)")), embedding("red")
        )


def test_search_says_which_right_a_role_lacks(session: Session) -> None:
    role = f"imgvec_test_{session.scalar(sa.text('SELECT right(current_database(), 12)'))}_none"
    with session.begin_nested() as savepoint:
        session.execute(sa.text(f'CREATE ROLE "{role}"'))
        session.execute(sa.text(f'GRANT USAGE ON SCHEMA shop TO "{role}"'))
        session.execute(sa.text(f'GRANT SELECT ON shop.product TO "{role}"'))
        session.execute(sa.text(f'SET LOCAL ROLE "{role}"'))
        for asked in (embedding("red"), "red", Row(1)):
            with pytest.raises(DatabaseError, match="grant it imgvec_reader"), session.begin_nested():
                search(session, sa.select(Product), asked)
        savepoint.rollback()


def test_a_picture_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the picture .*gone\.png cannot be read: No such file"):
        near(sa.select(Product), tmp_path / "gone.png")


def test_the_model_in_the_applications_process_gives_the_same(session: Session) -> None:
    model = LocalModel(NAME, prompt="a {} shoe")
    assert np.allclose(model.words("red"), embedding("red"))
    for vector in (
        model.words("blue"),
        model.picture(picture("blue")),
        model.picture(Image.new("P", (9, 9), 0)),
    ):
        assert vector.shape == (12,)
    assert nearest(session, model.picture(picture("blue"))) == "blue"
    with pytest.raises(ImageError):
        model.picture(b"no picture")
    with pytest.raises(UsageError, match="the words are empty"):
        model.words("")
