"""Words and pictures of a SQLAlchemy application, embedded by a running worker or in its own process."""

import io
from collections.abc import Iterator
from pathlib import Path

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
from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.sqlalchemy import EmbeddingMixin, LocalModel, near, search
from imgvec_pg.store.wordrelay import install_relay


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
    assert [nearest(session, form) for form in forms] == [color] * len(forms)


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
