"""ALTER EXTENSION vector SET SCHEMA breaks functions; doctor says so and `imgvec migrate` makes them again."""

from typing import Any

import psycopg
import pytest
from dumps import dump_schema
from photostore import X, Y, Z, as_role, embed, make_collection, make_photos, new_role

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.sql_templates import shipped_directory
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.stale_functions import find_stale_functions, refresh_functions

VECTORS = {1: X, 2: Y, 3: Z, 4: (0.8, 0.6, 0.0)}
CALLS = {
    "search": "SELECT id FROM imgvec.search_photo_test(imgvec.embedding_of('photo_test', 1), 3)",
    "search among": "SELECT id FROM imgvec.search_photo_test(imgvec.embedding_of('photo_test', 1), 3, ARRAY[2, 3])",
    "alias": "SELECT id FROM imgvec.search_shown(imgvec.embedding_of('shown', 1), 3)",
    "bits": "SELECT id FROM imgvec.search_bits(imgvec.embedding_of('bits', 1), 3)",
    "composite": "SELECT album, id FROM imgvec.search_album(imgvec.embedding_of('album', '{\"album\": 1, \"id\": 1}'), 3)",
    "page": "SELECT id FROM imgvec.page_photo_test(imgvec.embedding_of('photo_test', 1), 2, 0.1, 2)",
    "duplicates": "SELECT id FROM imgvec.duplicates_of_photo_test(1, 0.5)",
    "recommend": "SELECT id FROM imgvec.recommend_photo_test(ARRAY[1], ARRAY[3])",
    "classify": "SELECT id, label FROM imgvec.classify_photo_test(ARRAY['east', 'north']) WHERE rank = 1 ORDER BY id",
    "matrix": "SELECT row_key, column_key, similarity FROM imgvec.similarity_matrix('photo_test', ARRAY[1, 2])",
    "mean": "SELECT id FROM imgvec.search_photo_test(imgvec.mean_embedding('photo_test', ARRAY[1, 2]), 2)",
    "combine": "SELECT imgvec.combine(ARRAY[imgvec.embedding_of('photo_test', 1)], ARRAY[1])::text",
    "words": "SELECT imgvec.embed_text('photo_test', 'east')::text",
}
UNBROKEN = {
    "near": "SELECT id FROM imgvec.near_photo_test_row(1) ORDER BY distance LIMIT 3",
    "near words": "SELECT count(*) FROM shop.alike",
}


@pytest.fixture
def shop(connection: Connection) -> Connection:
    photos = make_photos(connection, rows=4)
    connection.execute("CREATE TABLE shop.page (album int, id int, file text, PRIMARY KEY (album, id))")
    connection.execute("INSERT INTO shop.page SELECT 1, i FROM generate_series(1, 4) AS i")
    bits = make_collection(connection, name="bits", quantization="bit")
    album = make_collection(connection, "shop.page", "album", partitions=2)
    for collection in (photos, bits):
        embed(connection, collection, VECTORS)
    embed(connection, album, {(1, key): vector for key, vector in VECTORS.items()})
    create_alias(connection, "shown", "photo_test")
    build_index(connection, get_collection(connection, "photo_test"))
    connection.execute("UPDATE imgvec.model SET logit_scale = 2")
    for text, vector in (("east", "[1,0,0]"), ("north", "[0,1,0]")):
        connection.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding) VALUES (%s, %s, %s)",
            [photos.model_id, text, vector],
        )
    connection.execute("CREATE VIEW shop.alike AS SELECT * FROM imgvec.search_photo_test('[1,0,0]', 2)")
    connection.execute("CREATE OR REPLACE VIEW shop.near AS SELECT * FROM imgvec.near_photo_test('[1,0,0]')")
    return connection


def answers(connection: Connection, statements: dict[str, str] = CALLS) -> dict[str, Any]:
    return {name: connection.execute(text.encode()).fetchall() for name, text in statements.items()}


def errors(connection: Connection) -> list[tuple[str, str | None]]:
    return [(f.met, f.next_step) for f in diagnose(connection) if f.level == "error"]


def move(connection: Connection, schema: str) -> None:
    connection.execute(f'CREATE SCHEMA "{schema}"'.encode())
    connection.execute(f'ALTER EXTENSION vector SET SCHEMA "{schema}"'.encode())
    connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO PUBLIC'.encode())


@pytest.mark.parametrize("schema", ["ext", 'Some "other" place'])
def test_one_command_heals_what_a_moved_extension_broke(
    shop: Connection, database: str, capsys: pytest.CaptureFixture[str], schema: str
) -> None:
    before = answers(shop)
    assert errors(shop) == []
    quoted = schema.replace('"', '""')
    move(shop, quoted)
    broken = set()
    # A session that has called a function before may still have it compiled.
    with connect(database) as fresh:
        for name, text in CALLS.items():
            try:
                fresh.execute(text.encode())
            except psycopg.Error:
                broken.add(name)
    assert broken == set(CALLS)
    assert answers(shop, {"near": UNBROKEN["near"]})["near"] == [(4,), (2,), (3,)]
    ((met, cure),) = errors(shop)
    assert f"was moved from schema public to {schema}" in met and cure == "imgvec migrate"
    capsys.readouterr()
    assert run(cli, ["migrate", "--dsn", database]) == 0
    assert f"were made again, as the extension vector is in schema {schema} now" in capsys.readouterr().out
    assert answers(shop) == before
    assert errors(shop) == []
    with (
        new_role(
            shop, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop"
        ) as role,
        as_role(shop, role),
    ):
        assert answers(shop) == before
        assert answers(shop, UNBROKEN)["near words"] == [(2,)]
    assert run(cli, ["migrate", "--dsn", database]) == 0
    assert "made again" not in capsys.readouterr().out


def test_collections_made_after_the_move_and_a_move_back_are_in_order(
    shop: Connection, database: str
) -> None:
    move(shop, "ext")
    assert run(cli, ["migrate", "--dsn", database]) == 0
    embed_later = make_collection(shop, name="later")
    shop.execute("SET search_path = public, ext")
    embed(shop, embed_later, VECTORS)
    assert shop.execute("SELECT id FROM imgvec.search_later('[1,0,0]', 2)").fetchall() == [(1,), (4,)]
    before = answers(shop)
    shop.execute("ALTER EXTENSION vector SET SCHEMA public")
    assert [met.split(":")[0] for met, _ in errors(shop)] == [
        "the extension vector was moved from schema ext to public"
    ]
    assert run(cli, ["migrate", "--dsn", database]) == 0
    assert answers(shop) == before
    assert shop.execute("SELECT count(*) FROM imgvec.search_later('[1,0,0]', 2)").fetchone() == (2,)


def test_healed_functions_are_those_of_a_schema_made_there(
    shop: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = dump_schema(database)
    move(shop, "ext")
    assert run(cli, ["migrate", "--dsn", database]) == 0
    shop.execute("ALTER EXTENSION vector SET SCHEMA public; DROP SCHEMA ext")
    assert run(cli, ["migrate", "--dsn", database]) == 0
    assert dump_schema(database) == plain


def test_functions_of_an_older_release_are_made_again(
    shop: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (definition,) = shop.execute(
        "SELECT pg_get_functiondef('imgvec.classify_photo_test'::regproc)"
    ).fetchone() or ("",)
    older = definition.replace("WHERE NOT is_filtered OR", "WHERE $2 IS NULL OR").replace(
        "IF $2 IS NULL THEN", "IF false THEN"
    )
    assert older.count("$2 IS NULL") == 1
    shop.execute(older.encode())
    everything = "SELECT count(DISTINCT id) FROM imgvec.classify_photo_test(ARRAY['east', 'north'], NULL)"
    assert shop.execute(everything.encode()).fetchone() == (4,)
    ((met, cure),) = errors(shop)
    assert met == "1 functions are not as this release makes them (classify_photo_test)"
    assert cure == "imgvec migrate"
    capsys.readouterr()
    assert run(cli, ["migrate", "--dsn", database]) == 0
    assert "1 functions of imgvec were made again\n" in capsys.readouterr().out
    with pytest.raises(psycopg.errors.NullValueNotAllowed, match="among is NULL"):
        shop.execute(everything.encode())


def test_a_database_whose_revisions_an_application_keeps_is_healed_too(
    shop: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = answers(shop)
    shop.execute("ALTER TABLE imgvec.alembic_version SET SCHEMA public")
    assert run(cli, ["migrate", "--no-database-defaults", "--dsn", database]) == 1
    assert "run those: alembic upgrade heads" in capsys.readouterr().err
    move(shop, "ext")
    assert run(cli, ["migrate", "--dsn", database]) == 0
    assert "were made again" in capsys.readouterr().out
    assert answers(shop) == before


def test_every_function_that_names_the_extensions_schema_can_be_made_again() -> None:
    files = (shipped_directory("sql") / "functions").glob("*.sql")
    texts = {file.name: file.read_text(encoding="utf-8") for file in files}
    naming = {name for name, text in texts.items() if "{vector}" in text}
    assert len(naming) > 10
    assert {name for name in naming if "CREATE FUNCTION" in texts[name]} == set()


def test_a_function_that_an_older_release_did_not_make_is_made(shop: Connection) -> None:
    shop.execute("DROP FUNCTION imgvec.within_photo_test, imgvec.within_shown")
    assert set(find_stale_functions(shop).names) == {"within_photo_test", "within_shown"}
    assert set(refresh_functions(shop).names) == {"within_photo_test", "within_shown"}
    assert find_stale_functions(shop).names == ()
    assert shop.execute("SELECT id FROM imgvec.within_shown('[1,0,0]', 0.1)").fetchall() == [(1,)]
    with new_role(shop) as stranger, as_role(shop, stranger), pytest.raises(psycopg.Error):
        shop.execute("SELECT id FROM imgvec.within_shown('[1,0,0]', 0.1)")
    with new_role(shop, "imgvec_reader") as reader, as_role(shop, reader):
        shop.execute("SELECT id FROM imgvec.within_shown('[1,0,0]', 0.1)")
