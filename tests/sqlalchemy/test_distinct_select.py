"""near(distinct=True) and search(distinct=True): different pictures of what a select gives."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from ormshop import DIMENSIONS, Brand, Product, ProductClip, Review, Sale, SaleClip, make_shop, sqlalchemy_url
from sqlalchemy.orm import Session, joinedload, selectinload

from imgvec_pg.database.connect import connect
from imgvec_pg.errors import UsageError
from imgvec_pg.sqlalchemy import Row, near, search

QUERY = np.eye(DIMENSIONS, dtype=np.float32)[0]
SHARE = """
    UPDATE imgvec.{0}_embedding AS e
    SET content_hash = sha256(o.picture::text::bytea),
        embedding = (SELECT i.embedding FROM imgvec.{0}_embedding AS i WHERE i.{1} = o.picture)
    FROM (SELECT {1}, {2} AS picture FROM imgvec.{0}_embedding) AS o
    WHERE o.{1} = e.{1} AND o.picture IS NOT NULL
"""
LEAST_FOUND = 8
"""Of ten: the index has few links here, and equal vectors beside each other, so that it misses some."""
# Of the 3,000 products 2,700 share a picture with two others, 100 one between them all, 200 have vectors of the shop's own.
PRODUCTS = "CASE WHEN id <= 2700 THEN id - (id - 1) % 3 WHEN id <= 2800 THEN 2701 END"


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[sa.Engine]:
    with connect(module_database) as connection:
        make_shop(connection, module_database)
        connection.execute(SHARE.format("product_clip", "id", PRODUCTS))  # type: ignore[arg-type]
        connection.execute(SHARE.format("sale_clip", "no", "1 + no % 20"))  # type: ignore[arg-type]
    made = sa.create_engine(sqlalchemy_url(module_database))
    yield made
    made.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with Session(engine) as made:
        yield made


def expected(session: Session, condition: str, k: int, table: str = "product_clip") -> list[tuple[Any, ...]]:
    """Return (key…, distance, copies) by comparing every row."""
    keys = "id" if table == "product_clip" else "tenant_id, no"
    source = "product" if table == "product_clip" else "sale"
    statement = f"""
        SELECT {keys}, distance, copies FROM (
            SELECT DISTINCT ON (picture) {keys}, distance, count(*) OVER (PARTITION BY picture) AS copies
            FROM (
                SELECT {keys}, embedding <=> CAST(:query AS halfvec) AS distance,
                       CASE WHEN content_hash = '' THEN ROW({keys})::text::bytea ELSE content_hash END AS picture
                FROM imgvec.{table}_embedding JOIN shop.{source} USING ({keys}) WHERE {condition}
            ) AS r ORDER BY picture, {keys}
        ) AS d ORDER BY distance, {keys} LIMIT {k}
    """
    return [tuple(row) for row in session.execute(sa.text(statement), {"query": str(QUERY.tolist())})]


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(*key, round(distance, 4), copies) for *key, distance, copies in rows]


@pytest.mark.parametrize("condition", ["true", "price < 50", "price > 97 AND product.id > 900"])
def test_search_gives_different_pictures_of_the_rows_that_match(session: Session, condition: str) -> None:
    statement = sa.select(Product.id)
    if condition != "true":
        statement = statement.where(sa.text(condition))
    found = search(session, statement, QUERY, 25, distinct=True)
    got = [tuple(row) for row in found.rows]
    truth = rounded(expected(session, condition, 25))
    if found.strategy == "index":
        assert len(set(rounded(got)) & set(truth)) >= 2.5 * LEAST_FOUND
    else:
        assert rounded(got) == truth
    assert len({key for key, *_ in got}) == 25
    assert max(copies for *_, copies in got) > 1


def test_near_is_one_statement_that_gives_them(session: Session) -> None:
    statement = near(sa.select(Product.id).where(Product.price < 50), QUERY, 10, distinct=True)
    got = rounded([tuple(row) for row in session.execute(statement)])
    assert len(set(got) & set(rounded(expected(session, "price < 50", 10)))) >= LEAST_FOUND
    assert got == sorted(got, key=lambda row: row[1])
    plan = "\n".join(session.scalars(sa.text(f"EXPLAIN {compiled(session, statement)}")))
    assert "product_clip_embedding_hnsw" in plan
    # All of them; and what follows is about the row that is shown.
    every = session.execute(near(sa.select(Product.id), QUERY, None, distinct=True)).all()
    assert len(every) == 900 + 1 + 200
    later = near(sa.select(Product.id), QUERY, None, distinct=True).where(Product.id > 1, Product.id < 4)
    assert session.execute(later).all() == []


def compiled(session: Session, statement: sa.Select[Any]) -> str:
    return str(statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))


def test_entities_come_with_what_is_loaded_beside_them(session: Session) -> None:
    statement = sa.select(Product).options(joinedload(Product.brand), selectinload(Product.reviews))
    by_near = session.execute(near(statement, QUERY, 5, distinct=True)).all()
    by_search = search(session, statement, QUERY, 5, distinct=True).rows
    truth = {key: copies for key, _, copies in expected(session, "true", 10)}
    for found in (by_near, by_search):
        assert [row.copies for row in found] == [truth.get(row.Product.id, row.copies) for row in found]
        assert len({row.Product.id for row in found} & truth.keys()) >= 4
        assert found[0].Product.brand.name


def test_a_join_that_multiplies_rows_does_not_multiply_copies(session: Session) -> None:
    statement = sa.select(Product.id, Review.id).join(Review).join(Brand, Brand.id == Product.brand_id)
    found = session.execute(near(statement, QUERY, 10, distinct=True)).all()
    assert len(found) == 10
    shown = {row[0]: row.copies for row in found}
    matching = "id IN (SELECT product_id FROM shop.review)"
    truth = {key: copies for key, _, copies in expected(session, matching, 2000)}
    assert all(truth[key] == copies for key, copies in shown.items())


def test_a_row_that_is_searched_with_is_no_copy(session: Session) -> None:
    first = session.get(Product, 31)
    by_near = session.execute(near(sa.select(Product.id), first, 3, distinct=True)).all()
    by_search = search(session, sa.select(Product.id), first, 3, distinct=True).rows
    assert tuple(by_near[0])[0::2] == tuple(by_search[0])[0::2] == (32, 2)
    assert by_near[0].distance == pytest.approx(0, abs=1e-3)


def test_keys_of_two_columns(session: Session) -> None:
    truth = rounded(expected(session, "true", 12, "sale_clip"))
    statement = sa.select(Sale.tenant, Sale.number)
    by_near = rounded([tuple(r) for r in session.execute(near(statement, QUERY, 12, distinct=True))])
    assert len(set(by_near) & set(truth)) >= LEAST_FOUND
    assert rounded([tuple(r) for r in search(session, statement, QUERY, 12, distinct=True).rows]) == truth
    # By the collection's name, without a class.
    found = search(session, statement, QUERY, 12, by="sale_clip", distinct=True)
    assert rounded([tuple(row) for row in found.rows]) == truth
    assert SaleClip.__table__.name == "sale_clip_embedding"


def test_two_in_one_statement(session: Session) -> None:
    near_red = near(sa.select(Product.id), QUERY, 3, distinct=True).subquery()
    near_other = near(sa.select(Product.id), -QUERY, 3, distinct=True).subquery()
    both = sa.union_all(sa.select(near_red.c.id), sa.select(near_other.c.id))
    assert len(session.execute(both).all()) == 6


def test_a_picture_of_more_rows_than_near_looks_at_leaves_search_complete(session: Session) -> None:
    island = session.execute(sa.select(ProductClip.embedding).where(ProductClip.id == 2701)).scalar_one()
    question = np.array(island, np.float32)
    found = search(session, sa.select(Product.id), question, 40, distinct=True)
    assert len(found.rows) == 40
    assert found.rows[0].copies == 100
    assert found.rows[0].id == 2701


def test_a_column_is_refused_where_pictures_are_folded(session: Session) -> None:
    with pytest.raises(UsageError, match="no column"):
        near(sa.select(Product), Row(Sale.number), distinct=True)
