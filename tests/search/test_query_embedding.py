import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from colorshop import embedding, make_shop, picture, request, stamp
from imgvec_test_embedder import FINGERPRINT
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.errors import CollectionError, ImgvecError, ModelError, UsageError
from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.search.query_embedding import ModelOptions, ask_with_image, ask_with_words
from imgvec_pg.search.query_types import RowKey, vector_text
from imgvec_pg.search.rows import ask_with_row, parse_key
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.registry import get_collection

DEFAULT = ModelOptions()


@pytest.fixture
def shop(connection: Connection) -> Collection:
    return make_shop(connection)


def cached_texts(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT text FROM imgvec.text_embedding ORDER BY text")]


def test_words_are_embedded_once_and_then_cached(connection: Connection, shop: Collection) -> None:
    first = ask_with_words(connection, shop, "red", DEFAULT)
    np.testing.assert_allclose(first.target, embedding("red"), atol=1e-6)
    assert cached_texts(connection) == ["red"]
    # Only the cache can answer these.
    connection.execute("UPDATE imgvec.text_embedding SET text = 'no colour at all'")
    second = ask_with_words(connection, shop, "no colour at all", DEFAULT)
    np.testing.assert_allclose(second.target, embedding("red"), atol=1e-3)


def test_cached_words_need_no_torch_and_no_model(
    connection: Connection, database: str, shop: Collection
) -> None:
    ask_with_words(connection, shop, "red", DEFAULT)
    code = (
        "import sys; from imgvec_pg.cli import main; sys.argv = ['imgvec', 'search', 'red']\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'open_clip', 'imgvec_test_embedder') if name in sys.modules])"
    )
    # Without the plugin's path: were the model asked for, it would not be found.
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        env={"IMGVEC_DSN": database},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines()[1].startswith("0.0000\t1\t")
    assert outcome.stdout.splitlines()[-1] == "[]"


def test_words_of_an_unstamped_model_are_not_cached(connection: Connection, shop: Collection) -> None:
    stamp(connection, None)
    ask_with_words(connection, shop, "red", DEFAULT)
    assert cached_texts(connection) == []


def test_other_weights_are_refused(connection: Connection, shop: Collection, tmp_path: Path) -> None:
    stamp(connection, "other")
    with pytest.raises(ModelError, match=rf"{FINGERPRINT[:12]}.* are not those .*product_color.*\(other\)"):
        ask_with_words(connection, shop, "red", DEFAULT)
    (tmp_path / "red.png").write_bytes(picture("red"))
    with pytest.raises(ModelError, match="are not those"):
        ask_with_image(connection, shop, tmp_path / "red.png", DEFAULT)
    assert cached_texts(connection) == []


def test_other_dimensions_are_refused(connection: Connection, shop: Collection) -> None:
    connection.execute("UPDATE imgvec.model SET dimensions = 13, fingerprint = NULL")
    with pytest.raises(ModelError, match=r"gives 12 dimensions here, collection .* has 13"):
        ask_with_words(connection, get_collection(connection), "red", DEFAULT)


@pytest.fixture
def reader(connection: Connection, database: str, shop: Collection) -> Iterator[Connection]:
    role = "imgvec_test_" + connection.info.dbname[-12:]
    name = sql.Identifier(role)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE imgvec_reader PASSWORD 'reader'").format(name))
    connection.execute(
        sql.SQL("GRANT USAGE ON SCHEMA shop TO {0}; GRANT SELECT ON shop.product TO {0}").format(name)
    )
    with connect(make_conninfo(database, user=role, password="reader")) as opened:
        yield opened
    connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))


def test_reader_searches_without_filling_the_cache(
    connection: Connection, reader: Connection, shop: Collection
) -> None:
    found = ask_with_words(reader, shop, "blue", DEFAULT)
    np.testing.assert_allclose(found.target, embedding("blue"), atol=1e-6)
    assert cached_texts(connection) == []
    assert ask_with_row(reader, shop, "7").shown == "id 7"


def test_read_only_server_is_enough(connection: Connection, shop: Collection) -> None:
    connection.execute("SET default_transaction_read_only = on")
    ask_with_words(connection, shop, "blue", DEFAULT)
    assert cached_texts(connection) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "words are empty"),
        (" \n", "words are empty"),
        ("a\0b", "NUL"),
        ("é" * 1001, "2002 bytes; expected at most 2000"),
        ("\udcff", "not valid UTF-8"),
    ],
)
def test_words_that_cannot_be_are_refused(
    connection: Connection, shop: Collection, words: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ask_with_words(connection, shop, words, DEFAULT)


def test_longest_words_are_cached(connection: Connection, shop: Collection) -> None:
    words = "red" + "é" * 998 + "x"
    connection.execute(
        "INSERT INTO imgvec.text_embedding SELECT id, %s, %s::halfvec FROM imgvec.model",
        [words, str(embedding("red").tolist())],
    )
    assert ask_with_words(connection, shop, words, DEFAULT).shown == words


def test_model_without_text_tower_takes_no_words(connection: Connection, shop: Collection) -> None:
    connection.execute("UPDATE imgvec.model SET has_text = false")
    with pytest.raises(UsageError, match=r"no text tower.*--image FILE.*--like KEY"):
        ask_with_words(connection, get_collection(connection), "red", DEFAULT)


def test_picture_file_is_embedded(connection: Connection, shop: Collection, tmp_path: Path) -> None:
    (tmp_path / "half red.png").write_bytes(picture("red"))
    link = tmp_path / "link.png"
    link.symlink_to("half red.png")
    for file in (tmp_path / "half red.png", link):
        question = ask_with_image(connection, shop, file, DEFAULT)
        np.testing.assert_allclose(question.target, embedding("red"), atol=1e-6)
        assert (question.shown, question.picture) == (file.name, picture("red"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope.png", "does not exist"),
        (".", "is not a file"),
        ("text.png", "cannot be used"),
        ("empty.png", "0 bytes"),
    ],
)
def test_picture_that_cannot_be_is_refused(
    connection: Connection, shop: Collection, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    with pytest.raises(UsageError, match=message):
        ask_with_image(connection, shop, tmp_path / name, DEFAULT)


def test_row_is_asked_with_by_its_key(connection: Connection, shop: Collection) -> None:
    for text in ("2", " 2", '{"id": 2}', '{"id": "2"}'):
        question = ask_with_row(connection, shop, text, with_picture=True)
        assert question.target == RowKey({"id": 2}, ["2"])
        assert question.picture == picture("yellow")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("99", CollectionError, "has no row 99"),
        ("abc", UsageError, 'invalid input syntax for type integer: "abc".*expected id integer'),
        ("99999999999", UsageError, "out of range"),
        ("1; DROP TABLE shop.product", UsageError, "invalid input syntax"),
        ('{"name": 1}', UsageError, "invalid input syntax"),
        ("\udcff", UsageError, "cannot be a key"),
        ("3", CollectionError, "has no embedding .* yet; see: imgvec failures product_color"),
    ],
)
def test_key_that_cannot_be_is_refused(
    connection: Connection, shop: Collection, text: str, kind: type[ImgvecError], message: str
) -> None:
    connection.execute("DELETE FROM imgvec.product_color_embedding WHERE id = 3")
    with pytest.raises(kind, match=message) as caught:
        ask_with_row(connection, shop, text)
    assert "\n" not in str(caught.value)


def test_extension_may_live_in_any_schema(empty_database: str) -> None:
    with connect(empty_database) as connection:
        connection.execute("CREATE SCHEMA elsewhere; CREATE EXTENSION vector SCHEMA elsewhere")
        upgrade(connection)
        shop = make_shop(connection)
        for question in (
            ask_with_words(connection, shop, "red", DEFAULT),
            ask_with_row(connection, shop, "1"),
        ):
            found = find_nearest(connection, shop, question.target, NearestOptions(k=2))
            assert found.rows[-1].distance == pytest.approx(2 / 3, abs=1e-3)
        assert cached_texts(connection) == ["red"]


@pytest.fixture
def orders(connection: Connection) -> Collection:
    connection.execute(
        "CREATE TABLE item (tenant integer, code text, picture bytea, PRIMARY KEY (tenant, code))"
    )
    return create_collection(connection, request("items", "item"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3,a", {"tenant": "3", "code": "a"}),
        ('3, "a,b"', {"tenant": "3", "code": "a,b"}),
        ('{"code": "a,b", "tenant": 3}', {"tenant": 3, "code": "a,b"}),
    ],
)
def test_key_of_several_columns_is_read(orders: Collection, text: str, expected: dict[str, object]) -> None:
    assert parse_key(orders, text) == expected


@pytest.mark.parametrize(
    "text", ["3", "3,a,b", '{"tenant": 3}', '{"tenant": 3, "code": null}', "", "{3,4", "[1,2,3]"]
)
def test_key_of_several_columns_must_have_them_all(
    connection: Connection, orders: Collection, text: str
) -> None:
    with pytest.raises(UsageError, match=r"expected (2 values, tenant,code|tenant integer, code text)"):
        ask_with_row(connection, orders, text)


def test_a_vectors_text_is_read_as_pgvector_rounds_its_numbers(scratch: Connection) -> None:
    random = np.random.default_rng(5)
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[:-1] + halves[1:]) / 2  # ties, down to the smallest subnormal
    numbers = np.concatenate(
        [
            random.normal(size=40_000) * 10.0 ** random.uniform(-9, 4, size=40_000),
            halves,
            between,
            np.nextafter(between, np.float32(0)),
        ]
    ).astype(np.float32)
    # What rounds to infinity, pgvector refuses.
    numbers = np.unique(numbers[np.isfinite(numbers) & (np.abs(numbers) < 65_520)])
    for part in np.array_split(np.concatenate([numbers, -numbers]), 20):
        for vector in np.array_split(part, -(-len(part) // 4000)):
            exactly = "[" + ",".join(f"{number:.9g}" for number in vector.tolist()) + "]"
            row = scratch.execute(
                "SELECT %s::halfvec::text = %s::halfvec::text", [exactly, vector_text(vector)]
            ).fetchone()
            assert row == (True,)


def test_a_vector_that_a_halfvec_cannot_hold_is_refused_by_pgvector(scratch: Connection) -> None:
    for vector in ([np.inf, 1.0], [np.nan, 1.0]):
        with pytest.raises(psycopg.errors.DataException), scratch.transaction():
            scratch.execute("SELECT %s::halfvec", [vector_text(np.array(vector, dtype=np.float32))])
