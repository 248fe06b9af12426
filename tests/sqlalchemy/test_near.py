"""near() with SQLAlchemy: what can be asked with, and that the shapes of an application keep the HNSW index."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from ormshop import (
    DIMENSIONS,
    Base,
    Brand,
    Product,
    ProductClip,
    Review,
    Sale,
    SaleClip,
    make_shop,
    sqlalchemy_url,
)
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    contains_eager,
    joinedload,
    mapped_column,
    selectinload,
    sessionmaker,
    subqueryload,
)

from imgvec_pg.database.connect import connect
from imgvec_pg.doctor.query_shapes import judge
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.sqlalchemy import (
    CollectionSpec,
    EmbeddingMixin,
    Row,
    SearchSettings,
    Words,
    near,
    neighbours,
    search,
)

QUERY = np.eye(DIMENSIONS, dtype=np.float32)[0]
INDEX = "product_clip_embedding_hnsw"


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[sa.Engine]:
    with connect(module_database) as connection:
        make_shop(connection, module_database)
    made = sa.create_engine(sqlalchemy_url(module_database))
    yield made
    made.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


def plan(session: Session, statement: Any) -> dict[str, Any]:
    """Return the plan of the statement that the ORM sends first, with its eager loads and its values."""
    sent: list[tuple[str, Any]] = []

    def note(_: object, __: object, text: str, values: Any, ___: object, ____: object) -> None:
        sent.append((text, values))

    sa.event.listen(session.get_bind(), "before_cursor_execute", note)
    try:
        session.execute(statement).unique().all()
    finally:
        sa.event.remove(session.get_bind(), "before_cursor_execute", note)
    text, values = sent[0]
    connection = session.connection()
    found = connection.exec_driver_sql(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}", values).scalar_one()
    return found[0]["Plan"]


OTHER = aliased(Product)
SHAPES: dict[str, Callable[[], Any]] = {
    "words": lambda: near(sa.select(Product), "seven"),
    "a row": lambda: near(sa.select(Product), 7),
    "a vector": lambda: near(sa.select(Product), QUERY),
    "columns": lambda: near(sa.select(Product.id, Product.name), "seven"),
    "annotated": lambda: near(sa.select(Product, (Product.price * 2).label("double")), "seven"),
    "a count of each": lambda: near(
        sa.select(
            Product,
            sa.select(sa.func.count())
            .where(Review.product_id == Product.id)
            .correlate(Product)
            .scalar_subquery(),
        ),
        "seven",
    ),
    "filtered before": lambda: near(sa.select(Product).where(Product.price < 50), "seven"),
    "filtered after": lambda: near(sa.select(Product), "seven").where(Product.price < 50),
    "excluded": lambda: near(sa.select(Product).where(~Product.id.in_([1, 2]), Product.price != 3), "seven"),
    "joined": lambda: near(
        sa.select(Product, Brand).join(Product.brand).where(Brand.name != "brand 1"), "seven"
    ),
    "joined from the other side": lambda: near(sa.select(Brand.name).join(Product), "seven"),
    "joined after": lambda: (
        near(sa.select(Product), "seven").join(Product.brand).where(Brand.name != "brand 1")
    ),
    "outer joined": lambda: near(sa.select(Product, Brand.name).outerjoin(Brand), "seven"),
    "any()": lambda: near(sa.select(Product).where(Product.reviews.any(Review.stars > 1)), "seven"),
    "has()": lambda: near(sa.select(Product).where(Product.brand.has(name="brand 2")), "seven"),
    "joinedload of one": lambda: near(sa.select(Product).options(joinedload(Product.brand)), "seven"),
    "joinedload of many": lambda: near(sa.select(Product).options(joinedload(Product.reviews)), "seven"),
    "selectinload": lambda: near(sa.select(Product).options(selectinload(Product.reviews)), "seven"),
    "subqueryload": lambda: near(sa.select(Product).options(subqueryload(Product.reviews)), "seven"),
    "contains_eager": lambda: near(
        sa.select(Product).join(Product.brand).options(contains_eager(Product.brand)), "seven"
    ),
    "the embedding loaded too": lambda: near(sa.select(Product).options(joinedload(Product.clip)), "seven"),
    "a page": lambda: near(sa.select(Product), "seven", k=None).limit(10).offset(20),
    "an alias": lambda: near(sa.select(OTHER).where(OTHER.price < 50), "seven"),
    "twice, by its key": lambda: near(
        sa.select(Product, OTHER).join(OTHER, OTHER.id == Product.id + 1), "seven", key=[OTHER.id]
    ),
    "sorted by more": lambda: near(sa.select(Product), "seven").order_by(Product.price),
    "counted outside": lambda: sa.select(sa.func.count()).select_from(
        near(sa.select(Product.id), "seven").subquery()
    ),
    "grouped outside": lambda: sa.select(
        (found := near(sa.select(Product.brand_id), "seven", k=60).subquery()).c.brand_id, sa.func.count()
    ).group_by(found.c.brand_id),
    "entities from a subquery": lambda: (
        sa.select(aliased(Product, found := near(sa.select(Product), "seven").subquery()), found.c.distance)
        .where(found.c.distance < 0.9)
        .order_by(found.c.price)
    ),
    "a CTE": lambda: sa.select((found := near(sa.select(Product.id), "seven").cte("found")).c.id).where(
        found.c.id > 9
    ),
    "a threshold": lambda: (
        sa.select(Product, (n := neighbours(ProductClip, "seven")).c.distance)
        .join(n, n.c.id == Product.id)
        .where(n.c.distance < 0.9)
        .order_by(n.c.distance)
        .limit(10)
    ),
    "each row's nearest": lambda: (
        sa.select(
            Product.id,
            (
                found := near(
                    sa.select(OTHER.id), Row(Product.id), k=3, key=[OTHER.id], by=ProductClip
                ).lateral()
            ).c.id,
        )
        .join(found, sa.true())
        .where(Product.id.between(1, 5))
    ),
    "the source through the embedding": lambda: (
        sa.select(ProductClip.id, distance := ProductClip.embedding.cosine_distance(QUERY.tolist()))
        .join(ProductClip.source)
        .where(Product.price < 50)
        .order_by(distance)
        .limit(10)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_gives_rows_and_reads_the_index(session: Session, shape: str) -> None:
    if shape == "sorted by more" and session.connection().dialect.server_version_info < (17,):
        pytest.skip("PostgreSQL 16 does not sort an index's order by distance further: it compares all rows")
    found = plan(session, SHAPES[shape]())
    assert INDEX in str(found)
    if shape != "each row's nearest":
        assert [f.level for f in judge(found, iterative_scan="strict_order")] == ["ok"]
    assert len(session.execute(SHAPES[shape]()).unique().all()) >= 1


def test_the_nearest_come_with_their_distance_in_order(session: Session) -> None:
    rows = session.execute(near(sa.select(Product), "seven", k=5)).all()
    assert rows[0].Product.id == 7 and rows[0].distance == pytest.approx(0, abs=1e-3)
    distances = [row.distance for row in rows]
    assert len(rows) == 5 and distances == sorted(distances)
    assert [p.id for p in session.scalars(near(sa.select(Product), "seven", k=5))] == [
        r.Product.id for r in rows
    ]


@pytest.mark.parametrize("question", ["seven", 7, QUERY], ids=["words", "a row", "a vector"])
@pytest.mark.parametrize("k", [39, 40, 60, 300, 1500])
def test_the_index_gives_k_rows_beyond_its_ef_search(session: Session, k: int, question: Any) -> None:
    statement = near(sa.select(Product.id), question, k=k)
    found = session.execute(statement).all()
    assert len(found) == len({row.id for row in found}) == k
    assert INDEX in str(plan(session, statement))


def test_pages_go_on_beyond_ef_search_and_conditions_leave_them_full(session: Session) -> None:
    all_of_them = near(sa.select(Product.id), 7, k=None)
    assert len(session.execute(all_of_them.limit(24).offset(48)).all()) == 24
    cheap = all_of_them.where(Product.price < 5).limit(24).offset(48)
    assert len(session.execute(cheap).all()) == 24
    assert INDEX in str(plan(session, cheap))


@pytest.mark.parametrize("question", ["seven", 7, QUERY], ids=["words", "a row", "a vector"])
def test_a_select_without_a_limit_gives_all_rows_through_a_cursor_too(
    session: Session, question: Any
) -> None:
    everything = near(sa.select(Product.id), question, k=None)
    expected = session.scalar(sa.select(sa.func.count()).select_from(ProductClip)) - (
        question == 7 if isinstance(question, int) else 0
    )
    streamed = session.execute(everything.execution_options(yield_per=100)).all()
    assert len(streamed) == len(session.execute(everything).all()) == expected
    distances = [row.distance for row in streamed]
    assert distances == sorted(distances)


def test_a_scan_that_goes_on_keeps_what_the_session_has_set_and_ends_with_the_transaction(
    session: Session,
) -> None:
    def settings() -> list[str | None]:
        names = ("hnsw.ef_search", "hnsw.iterative_scan")
        return [session.scalar(sa.func.current_setting(name, True)) for name in names]

    SearchSettings(ef_search=200, iterative_scan="relaxed_order").apply(session)
    session.execute(near(sa.select(Product), 7, k=60)).all()
    assert settings() == ["200", "relaxed_order"]
    session.rollback()
    session.execute(near(sa.select(Product), 7, k=10)).all()
    assert settings() == ["40", "off"]
    session.execute(near(sa.select(Product), 7, k=60)).all()
    assert settings() == ["61", "strict_order"]
    session.rollback()
    assert settings() == ["40", "off"]


def test_a_scan_goes_on_in_autocommit_mode_and_as_a_prepared_statement_and_leaves_nothing_behind(
    engine: sa.Engine,
) -> None:
    statement = near(sa.select(Product.id), 7, k=60)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # The driver prepares from the sixth time on, and PostgreSQL plans once and for all from the eleventh.
        assert [len(connection.execute(statement).all()) for _ in range(12)] == [60] * 12
        assert connection.scalar(sa.select(sa.func.current_setting("hnsw.iterative_scan"))) == "off"


def test_a_row_is_asked_with_as_instance_key_and_names_and_not_found_itself(session: Session) -> None:
    seven = session.get_one(Product, 7)
    asked = [seven, 7, Row(7), Row(id=7)]
    found = [session.scalars(near(sa.select(Product.id), question, k=4)).all() for question in asked]
    assert found[0] == found[1] == found[2] == found[3]
    words = session.scalars(near(sa.select(Product.id), "seven", k=5)).all()
    assert [7, *found[0]] == list(words)


def test_composite_keys_with_other_names_in_python(session: Session) -> None:
    nearest = session.execute(near(sa.select(Sale), Row(1, 3), k=2)).all()
    assert session.execute(near(sa.select(Sale), Row(no=3, tenant_id=1), k=2)).all() == nearest
    assert session.execute(near(sa.select(Sale), session.get_one(Sale, (1, 3)), k=2)).all() == nearest
    assert (1, 3) not in [(row.Sale.tenant, row.Sale.number) for row in nearest]
    clip = session.get_one(SaleClip, (1, 3))
    assert clip.source.file == "3.jpg"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"the key \(3,\) does not fit; expected tenant_id, no"):
        near(sa.select(Sale), 3)


def test_the_source_has_its_embedding(session: Session) -> None:
    product = session.scalars(
        sa.select(Product).options(joinedload(Product.clip)).where(Product.id == 7)
    ).one()
    assert product.clip is not None and product.clip.source is product
    vector = product.clip.embedding
    assert session.scalars(near(sa.select(Product.id), vector, k=1)).one() == 7


def test_a_collection_of_core_tables_is_named(session: Session) -> None:
    product = sa.table("product", sa.column("id", sa.BigInteger), sa.column("name"), schema="shop")
    statement = near(sa.select(product.c.name), "seven", 1, by="product_clip", key=[product.c.id])
    assert session.execute(statement).all()[0][0] == "name 7"


@pytest.mark.parametrize("question", ["seven", 7, QUERY], ids=["words", "a row", "a vector"])
@pytest.mark.parametrize("k", [5, 60])
def test_a_statement_can_be_written_out_with_its_values(session: Session, k: int, question: Any) -> None:
    statement = near(sa.select(Product.id), question, k=k)
    written = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})  # type: ignore[arg-type]
    text = str(written).replace("%%", "%")
    assert session.scalars(sa.text(text)).all() == session.scalars(statement).all()


def test_statements_are_cached(session: Session) -> None:
    keys = [near(sa.select(Product), words)._generate_cache_key() for words in ("seven", "eight")]
    assert keys[0] is not None and keys[0].key == keys[1].key  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: near(sa.select(Product), "x", k=0), "k is 0; expected 1 to 10000 rows, or None"),
        (lambda: near(sa.select(Product), " "), "the words are empty"),
        (lambda: near(sa.select(Product), [0.0, 0.0]), "the vector is zero"),
        (lambda: near(sa.select(Product), {"id": 7}), "cannot search for dict; expected words, a picture"),
        (lambda: near(sa.select(Product), True), "cannot search for bool"),
        (
            lambda: near(sa.select(Product), Brand(id=1)),
            "cannot search for a Brand; expected a row of shop.product",
        ),
        (lambda: near(sa.select(Product), Product()), "this Product has no key yet; flush it first"),
        (lambda: near(sa.select(Product), Row(1, 2)), r"the key \(1, 2\) does not fit; expected id"),
        (lambda: near(sa.select(Product), Row(nr=1)), r"the key \{'nr': 1\} does not fit; expected id"),
        (lambda: near(sa.select(Product), Row()), "a row is given by its key"),
        (lambda: near(sa.select(Brand), "x"), "the select reads no source of a collection"),
        (lambda: near(sa.select(Product, Sale), "x"), "say which with by=: ProductClip, SaleClip"),
        (
            lambda: near(sa.select(Brand), "x", by=ProductClip),
            "the select does not read shop.product, the source",
        ),
        (
            lambda: near(sa.select(Product, OTHER), "x"),
            r"reads shop.product, the source, 2 times; .* key=\[aliased.id\]",
        ),
        (
            lambda: near(sa.select(Product), "x", by="product_clip"),
            "given by its name; expected its source's key",
        ),
        (lambda: near(sa.select(Product), "x", by=Product), "is no embedding class"),  # type: ignore[arg-type]
        (lambda: near(sa.select(Product).limit(3), "x"), "has LIMIT, .*; leave it out and pass k"),
        (
            lambda: near(sa.select(Product).order_by(Product.id), "x"),
            "has ORDER BY, .*; leave it out, or sort outside",
        ),
        (lambda: near(sa.select(Product).distinct(), "x"), "has DISTINCT, .*; make it distinct outside"),
        (
            lambda: near(sa.select(sa.func.count()).group_by(Product.id), "x"),
            "has GROUP BY, .*; group outside",
        ),
        (
            lambda: near(sa.select(sa.func.count()).having(sa.true()), "x"),
            "has HAVING, .*; group outside",
        ),
        (lambda: near(sa.select(Product).fetch(3), "x"), "has FETCH, .*; leave it out and pass k"),
        (lambda: SearchSettings(ef_search=0), "ef_search is 0; expected 1 to 1000"),
        (lambda: SearchSettings(iterative_scan="on"), 'iterative_scan is "on"; expected off, strict'),  # type: ignore[arg-type]
        (lambda: SearchSettings(max_scan_tuples=0), "max_scan_tuples is 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_a_vector_of_another_model_is_refused_before_it_is_asked_with(session: Session) -> None:
    class Other(DeclarativeBase): ...

    class Photo(Other):
        __tablename__ = "photo"
        id: Mapped[int] = mapped_column(primary_key=True)
        path: Mapped[str]

    def clip(name: str, *, embedding: Any = None, **fields: Any) -> Any:
        told = {"__source__": Photo, "__collection__": CollectionSpec(name, **fields)}
        if embedding is not None:
            told["embedding"] = mapped_column(embedding)
        return type(name.title(), (EmbeddingMixin, Other), told)

    refused = r"the vector has shape \(8,\); expected \({},\), as the collection's model gives"
    by_model = clip("by_model", image="path", model="ViT-B-32/laion2b_s34b_b79k")
    by_definition = clip("by_definition", dimensions=4)
    by_type = clip("by_type", embedding=HALFVEC(5))
    for by, dimensions in ((by_model, 512), (by_definition, 4), (by_type, 5)):
        with pytest.raises(UsageError, match=refused.format(dimensions)):
            near(sa.select(Photo), QUERY, by=by)
        near(sa.select(Photo), np.ones(dimensions), by=by)
    # Here neither the class nor anything else in Python knows: search() asks, near() is left to the database.
    with pytest.raises(UsageError, match=r"the vector has shape \(5,\); expected \(8,\)"):
        search(session, sa.select(Product), np.ones(5))
    with pytest.raises(sa.exc.DataError, match="different halfvec dimensions"):
        session.execute(near(sa.select(Product), np.ones(5)))


def test_models_that_cannot_be_sources_are_refused() -> None:
    class Own(DeclarativeBase): ...

    class Thing(Own):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        precision: Mapped[int]
        photo: Mapped[str]

    class Odd(Own):
        __tablename__ = "odd"
        embedding: Mapped[int] = mapped_column(primary_key=True)

    def declare(source: object, collection: object, name: str = "Clip") -> None:
        type(name, (EmbeddingMixin, Own), {"__source__": source, "__collection__": collection})

    keyless = sa.Table("log", Own.metadata, sa.Column("line", sa.Text))
    for source, collection, message in (
        ("Thing", "thing_clip", "has the __source__ 'Thing'; expected a mapped class"),
        (keyless, "log_clip", "log, the source of class Clip, has no primary key"),
        (Odd, "odd_clip", 'the key column "embedding" of odd has a name that embedding tables use'),
        (
            Thing,
            None,
            'no __collection__; expected the name of a collection, such as __collection__ = "thing_clip"',
        ),
        (
            Thing,
            CollectionSpec("thing_clip", image="foto", model="demo"),
            'thing, the source of class Clip, has no column "foto"; it has: id, precision, photo',
        ),
        (Thing, "Thing Clip", '"Thing Clip" cannot name a collection'),
    ):
        with pytest.raises(UsageError, match=message):
            declare(source, collection)
    declare(Thing, CollectionSpec("thing_clip", image="photo", model="demo"))
    declare(
        Thing,
        CollectionSpec("thing_better", image="photo", model="ViT-B-32/laion2b_s34b_b79k"),
        "Better",
    )
    with pytest.raises(
        UsageError, match=r"classes Clip and Again both embed thing \(photo\) by demo; expected one"
    ):
        declare(Thing, CollectionSpec("thing_again", image="photo", model="demo"), "Again")
    with pytest.raises(UsageError, match="sources of several collections; say which with by=: Better, Clip"):
        near(sa.select(Thing), "red")
    assert "thing_clip_embedding" not in str(Own.metadata.tables)


def test_settings_last_for_the_transaction(session: Session) -> None:
    def shown() -> list[Any]:
        names = ("hnsw.ef_search", "hnsw.iterative_scan")
        return [session.scalar(sa.select(sa.func.current_setting(name))) for name in names]

    session.execute(near(sa.select(Product), QUERY))
    before = shown()
    SearchSettings(ef_search=77, iterative_scan="strict_order").apply(session)
    assert shown() == ["77", "strict_order"]
    session.commit()
    assert shown() == before


def test_settings_of_a_maker_hold_in_each_transaction(engine: sa.Engine) -> None:
    maker = sessionmaker(engine)
    few = near(sa.select(Product).where(Product.price == 3), QUERY, k=20)
    with maker() as session:
        assert len(session.execute(few).all()) < 20
    SearchSettings(ef_search=40, iterative_scan="strict_order", max_scan_tuples=20_000).apply_to_all(maker)
    for _ in range(2):
        with maker() as session:
            assert len(session.execute(few).all()) == 20
            session.rollback()
            assert len(session.execute(few).all()) == 20


def test_async_sessions_ask_the_same(engine: sa.Engine, session: Session) -> None:
    expected = session.execute(near(sa.select(Product.id), "seven", k=5)).all()

    async def ask() -> None:
        other = create_async_engine(engine.url)
        try:
            maker = async_sessionmaker(other)
            SearchSettings(iterative_scan="strict_order").apply_to_all(maker)
            async with maker() as asking:
                assert (await asking.execute(near(sa.select(Product.id), "seven", k=5))).all() == expected
                assert await asking.scalar(sa.text("SHOW hnsw.iterative_scan")) == "strict_order"
                found = await asking.run_sync(search, sa.select(Product.id), "seven", 5)
                assert [row.id for row in found.rows] == [row.id for row in expected]
            async with AsyncSession(other) as asking:
                await asking.execute(SearchSettings(ef_search=55).statement)
                assert await asking.scalar(sa.text("SHOW hnsw.ef_search")) == "55"
        finally:
            await other.dispose()

    asyncio.run(ask())


@pytest.mark.parametrize(
    "question", ["seven", 7, QUERY, Words("seven")], ids=["words", "row", "vector", "Words"]
)
def test_search_is_never_short(session: Session, question: Any) -> None:
    statement = sa.select(Product.id).where(Product.price == 3)
    matching = set(session.scalars(statement))
    found = search(session, statement, question, len(matching))
    assert {row.id for row in found.rows} == matching
    assert 7 not in [row.id for row in search(session, sa.select(Product.id), 7, 5).rows]


def test_search_by_name_finds_the_key_and_a_row_without_embedding_has_no_neighbours(session: Session) -> None:
    by_class = search(session, sa.select(Product), Row(7), 5).rows
    assert (
        search(session, sa.select(Product), session.get_one(Product, 7), 5, by="product_clip").rows
        == by_class
    )
    statement = sa.select(Sale).where(Sale.number > 5)
    assert len(search(session, statement, Row(0, 2), 5, by="sale_clip").rows) == 5
    session.execute(sa.text("SET LOCAL statement_timeout = '59 s'"))
    assert not search(session, sa.select(Product), 999_999, 5).rows
    # The application's transaction goes on.
    assert session.scalar(sa.text("SHOW statement_timeout")) == "59s"
    with pytest.raises(UsageError, match=r"reads shop\.product, .* 0 times"):
        search(session, sa.select(Brand), QUERY, by="product_clip")
    with pytest.raises(UsageError, match="cannot take a column"):
        search(session, sa.select(Product), Words(Product.name))


@pytest.mark.parametrize("options", [{}, {"stream_results": True}])
def test_search_near_a_row_needs_no_transaction(engine: sa.Engine, options: dict[str, Any]) -> None:
    cheap = sa.select(Product.id).where(Product.price == 3)
    with engine.connect() as connection:
        expected = search(connection, cheap, 7, 5)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", **options) as connection:
        assert search(connection, cheap, 7, 5) == expected
        assert not search(connection, cheap, 999_999, 5).rows


@pytest.mark.parametrize("key", [10**30, "x'", "7; DROP TABLE shop.product", ""])
def test_search_refuses_what_cannot_be_a_key(session: Session, key: object) -> None:
    with pytest.raises(UsageError, match=r"out of range|invalid input syntax"), session.begin_nested():
        search(session, sa.select(Product.id), Row(key), 5)


@pytest.mark.parametrize("k", [0, 2.5, "5", True, 10_001])
def test_k_is_a_number_of_rows(session: Session, k: Any) -> None:
    with pytest.raises(UsageError, match=f"k is {k!r}; expected 1 to 10000 rows, or None"):
        near(sa.select(Product.id), QUERY, k)
    # Told before the database is asked for the words.
    with pytest.raises(UsageError, match=f"k is {k!r}; expected 1 to 10000 rows"):
        search(session, sa.select(Product.id), "never embedded", k)
    assert len(search(session, sa.select(Product.id), QUERY, np.int64(3)).rows) == 3  # type: ignore[arg-type]


def test_search_names_a_collection_that_is_missing(session: Session) -> None:
    with pytest.raises(CollectionError, match='collection "nothing" does not exist'):
        search(session, sa.select(Product.id), QUERY, by="nothing", key=[Product.id])


def test_embedding_tables_are_no_tables_of_the_applications(session: Session) -> None:
    assert not [name for name in Base.metadata.tables if "embedding" in name]
