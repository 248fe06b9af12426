"""write_embeddings(): vectors that an application has already, in its own transaction."""

from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from ormshop import Base, Product, ProductClip, Sale, SaleClip, sqlalchemy_url
from photostore import make_collection
from sqlalchemy.orm import Session

from imgvec_pg.database.connect import connect
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.sqlalchemy import Row, near, write_embeddings

ROWS, DIMENSIONS = 2500, 3


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    engine = sa.create_engine(sqlalchemy_url(database))
    with connect(database) as connection:
        connection.execute("CREATE SCHEMA shop")
        Base.metadata.create_all(engine)
        connection.execute("INSERT INTO shop.brand VALUES (1, 'x')")
        connection.execute(
            "INSERT INTO shop.product SELECT i, 'name ' || i, i, i || '.jpg', 1 FROM generate_series(1, %s) AS i",
            [ROWS],
        )
        connection.execute("INSERT INTO shop.sale SELECT i % 2, i, '' FROM generate_series(1, 9) AS i")
        for table in ("product", "sale"):
            make_collection(connection, f"shop.{table}", f"{table}_clip")
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def vectors(rows: int, seed: int = 3) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(rows, DIMENSIONS))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_vectors_are_written_and_found_and_rolled_back(session: Session) -> None:
    written = vectors(ROWS)
    assert write_embeddings(session, ProductClip, range(1, ROWS + 1), written) == ROWS
    stored = session.get_one(ProductClip, ROWS).embedding
    assert np.allclose(stored, written[-1], atol=1e-3)
    assert session.scalars(near(sa.select(Product.id), written[6], k=1)).one() == 7
    session.rollback()
    assert session.scalar(sa.select(sa.func.count()).select_from(ProductClip)) == 0


def test_new_rows_of_the_session_and_keys_of_two_columns(session: Session) -> None:
    session.add(Sale(tenant=5, number=6, file=""))
    keys = [(1, 3), (5, 6)]
    assert write_embeddings(session, SaleClip, keys, vectors(2), precision="fp16") == 2
    assert session.execute(near(sa.select(Sale), Row(5, 6))).one().Sale.number == 3
    assert session.get_one(SaleClip, (5, 6)).precision == "fp16"


def test_a_workers_vector_stays_and_ones_own_is_replaced(session: Session) -> None:
    first, second = vectors(2), vectors(2, seed=4)
    write_embeddings(session, ProductClip, [1, 2], first)
    session.execute(sa.update(ProductClip).where(ProductClip.id == 2).values(version=8))
    session.expire_all()
    assert write_embeddings(session, ProductClip, [1, 2], second) == 1
    stored = [session.get_one(ProductClip, key).embedding for key in (1, 2)]
    assert np.allclose(stored, [second[0], first[1]], atol=1e-3)


def test_what_does_not_fit_is_refused(session: Session) -> None:
    good = vectors(2)
    for by, keys, array, message in (
        (ProductClip, [1], good, r"the vectors have shape \(2, 3\); expected \(1, 3\)"),
        (ProductClip, [1, 2], good[:, :2], r"shape \(2, 2\); expected \(2, 3\)"),
        (ProductClip, [1, 2], good * 3, "norms of 3.000 to 3.000; expected 1: divide each by its norm"),
        (ProductClip, [1, 2], good * np.nan, "norms of nan"),
        (SaleClip, [1, 2], good, "each key must be a tuple of tenant_id, no"),
    ):
        with pytest.raises(UsageError, match=message):
            write_embeddings(session, by, keys, array)
    assert write_embeddings(session, ProductClip, [], np.empty((0, 3))) == 0
    with (
        pytest.raises(UsageError, match=r"a key is no row of shop.product \(Key \(id\)=\(2501\)"),
        session.begin_nested(),
    ):
        write_embeddings(session, ProductClip, [ROWS + 1, 1], good)
    session.execute(sa.text("DELETE FROM imgvec.collection WHERE name = 'sale_clip'"))
    with pytest.raises(CollectionError, match='collection "sale_clip" does not exist'):
        write_embeddings(session, SaleClip, [(1, 3)], good[:1])
