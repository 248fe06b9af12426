"""SQLAlchemy where the extension's schema is on no search_path: distances of a class, and near() with whatever is asked."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from colorshop import picture
from ormshop import DIMENSIONS, Product, ProductClip, make_shop, sqlalchemy_url
from sqlalchemy.orm import Session, aliased

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.sqlalchemy import Row, near

QUERY = np.eye(DIMENSIONS, dtype=np.float32)[0]
OTHER = aliased(ProductClip)
SEVENTH = sa.select(OTHER.embedding).where(OTHER.id == 7).scalar_subquery()


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[sa.Engine]:
    with connect(module_database) as connection:
        make_shop(connection, module_database)
        connection.execute("CREATE SCHEMA extensions")
        connection.execute("ALTER EXTENSION vector SET SCHEMA extensions")
    assert run(cli, ["migrate", "--dsn", module_database]) == 0
    made = sa.create_engine(sqlalchemy_url(module_database))
    yield made
    made.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


def nearest(question: Any) -> sa.Select[Any]:
    distance = ProductClip.embedding.cosine_distance(question)
    return sa.select(ProductClip.id, distance.label("distance")).order_by(distance).limit(5)


SHAPES: dict[str, Callable[[], sa.Select[Any]]] = {
    "a list": lambda: nearest(QUERY.tolist()),
    "an array": lambda: nearest(QUERY),
    "a row's own": lambda: nearest(SEVENTH),
    "near() a vector": lambda: near(sa.select(Product.id), QUERY, k=5),
    "near() a row": lambda: near(sa.select(Product.id), Row(7), k=5),
    "near() a picture": lambda: near(sa.select(Product.id), picture("red"), k=5),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_distance_is_found_and_the_index_read(session: Session, shape: str) -> None:
    assert session.execute(sa.text("SHOW search_path")).scalar_one() == '"$user", public'
    statement = SHAPES[shape]()
    compiled = statement.compile(session.get_bind(), compile_kwargs={"render_postcompile": True})
    values = {name: processed(compiled, name, value) for name, value in compiled.params.items()}
    plan = session.connection().exec_driver_sql(f"EXPLAIN {compiled}", values).scalars().all()
    assert any("Index Scan using product_clip_embedding_hnsw" in line for line in plan), plan
    if shape != "near() a picture":  # which a worker would embed
        rows = session.execute(statement).all()
        assert len(rows) == 5
        # The index orders by halfvec that it normalised once more: eight dimensions were seen 1.8e-4 apart.
        assert [row.distance for row in rows] == pytest.approx(sorted(row.distance for row in rows), abs=1e-3)


def processed(compiled: sa.Compiled, name: str, value: Any) -> Any:
    processor = compiled._bind_processors.get(name)  # type: ignore[attr-defined]
    return value if processor is None else processor(value)


def test_the_distance_is_that_of_the_operator(session: Session) -> None:
    [(number, distance), *_] = session.execute(nearest(QUERY.tolist())).all()
    operator = session.execute(
        sa.text(
            "SELECT embedding OPERATOR(extensions.<=>) CAST(:query AS extensions.halfvec)"
            " FROM imgvec.product_clip_embedding WHERE id = :id"
        ),
        {"query": str(QUERY.tolist()), "id": number},
    ).scalar_one()
    assert distance == operator
