"""docs/howto/sqlalchemy.md as its reader follows it: all Python blocks in order, on a shop filled by the demo's model."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from pageblocks import DOCS, read_blocks, run_python

from imgvec_pg.database.connect import connect
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.registry import get_collection

PAGE = DOCS / "howto" / "sqlalchemy.md"
BLOCKS = [block for block in read_blocks(PAGE) if block.language == "python"]
ROWS = 60


@pytest.fixture
def namespace(database: str) -> Iterator[dict[str, object]]:
    """What the blocks see: the page's names with this machine's database and model in them."""
    made: dict[str, object] = {"__name__": "page"}
    run_python(BLOCKS[0], made, translate(BLOCKS[0].text))
    spec = made["ProductClip"].__table__.info["imgvec_spec"]  # type: ignore[attr-defined]
    with connect(database) as connection:
        connection.execute("CREATE SCHEMA shop")
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=lambda: __import__("psycopg").connect(database)
        )
        made["Base"].metadata.create_all(engine)  # type: ignore[attr-defined]
        connection.execute(
            "INSERT INTO shop.product SELECT i, 'name ' || i, i, i || '.jpg' FROM generate_series(1, %s) AS i",
            [ROWS],
        )
        create_collection(connection, spec)
        vector = str(load_embedder("demo").embed_texts(["red leather shoes"])[0].tolist())
        connection.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding) SELECT id, 'red leather shoes', %s::halfvec"
            " FROM imgvec.model",
            [vector],
        )
        connection.execute(
            "INSERT INTO imgvec.product_clip_embedding (id, embedding, version, content_hash, precision)"
            " SELECT p.id, l2_normalize(%s::halfvec::vector + array_prepend(p.id / 60.0::real, array_fill(0::real, ARRAY[255]))"
            "::real[]::vector)::halfvec, 1, '', 'fp32' FROM shop.product AS p",
            [vector],
        )
    made["create_engine"] = lambda _: engine
    yield made
    engine.dispose()


def translate(text: str) -> str:
    return text.replace("ViT-B-32/laion2b_s34b_b79k", "demo")


def test_the_page_runs(namespace: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    for block in BLOCKS[1:]:
        run_python(block, namespace, translate(block.text))
    output = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in output[:10]] == [f"name {i}" for i in range(1, 11)]
    assert output[10] == "exact ['name 1', 'name 2']"
    assert [line.split("  ")[1] for line in output[11:16]] == [f"name {i}" for i in range(1, 6)]
    assert output[16] == "[(False, 11), (True, 9)]"
    assert len(namespace["page"]) == 5  # type: ignore[arg-type]


def test_the_collection_of_urls_can_be_created(namespace: dict[str, object], database: str) -> None:
    [block] = [block for block in BLOCKS if "url_prefixes" in block.text]
    run_python(block, namespace, translate(block.text))
    namespace["Offer"].__table__.create(namespace["create_engine"](""))  # type: ignore[attr-defined, operator]
    with connect(database) as connection:
        create_collection(connection, namespace["OfferClip"].__table__.info["imgvec_spec"])  # type: ignore[attr-defined]
        assert get_collection(connection, "offer_clip").url_prefixes == ["https://images.example.com"]


def test_the_page_says_what_near_refuses(namespace: dict[str, object]) -> None:
    near, select, product = (namespace[name] for name in ("near", "select", "Product"))
    with pytest.raises(UsageError, match="GROUP BY"):
        near(select(product).group_by(product.id), "red")  # type: ignore[operator, attr-defined]
