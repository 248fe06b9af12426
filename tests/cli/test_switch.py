"""Aliases, and changing the model behind one while it is in use."""

import json
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from fresh_databases import Server, fresh_database
from imgvec_test_embedder import ColorGrid
from psycopg.conninfo import conninfo_to_dict
from workers import imgvec, random_picture, wait_until

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.commands.collection.switch_report import labelled
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.search.recall.compare_models import compare_collections
from imgvec_pg.store.aliases import create_alias, get_alias
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec
from imgvec_pg.store.switch import CATCH_UP_SECONDS

ROWS = 60


def fill_photos(connection: Connection, rows: int = ROWS, first: int = 1) -> None:
    draw = random.Random(first)
    with connection.cursor() as cursor, cursor.copy("COPY photo (id, content) FROM STDIN") as copy:
        for number in range(first, first + rows):
            copy.write_row((number, random_picture(draw)))


def embed_all(database: str, name: str) -> None:
    Worker(database, name, ColorGrid(), PipelineOptions(decode_threads=2)).run()


@pytest.fixture(scope="module")
def filled(server: Server, template: str) -> Iterator[str]:
    """Give the name of a database with an indexed collection photo_grid and the alias product, to be copied."""
    with fresh_database(server, template) as dsn:
        with connect(dsn) as connection:
            connection.execute(
                "CREATE TABLE photo (id integer PRIMARY KEY, content bytea, price integer DEFAULT 0)"
            )
            fill_photos(connection)
            request = CollectionSpec("photo_grid", "photo", ["content"], "color-grid", 12, has_text=True)
            list_source(connection, create_collection(connection, request))
            embed_all(dsn, "photo_grid")
            connection.execute(
                "CREATE INDEX photo_grid_embedding_hnsw ON imgvec.photo_grid_embedding"
                " USING hnsw (embedding halfvec_cosine_ops)"
            )
            create_alias(connection, "product", "photo_grid")
        yield str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture
def database(request: pytest.FixtureRequest, server: Server, template: str) -> Iterator[str]:
    """Give a database of the test's own: migrated, and filled for those that ask for `product`."""
    of = request.getfixturevalue("filled") if "product" in request.fixturenames else template
    with fresh_database(server, of) as dsn:
        yield dsn


@pytest.fixture
def product(connection: Connection) -> Connection:
    """Give a connection to a copy of the filled database."""
    return connection


def function_oids(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        "SELECT proname, oid::integer FROM pg_proc"
        " WHERE pronamespace = 'imgvec'::regnamespace AND proname ~ '_product(_row|_text)?$'"
    )
    return dict(rows.fetchall())


def dimensions(connection: Connection) -> int:
    row = connection.execute("SELECT (imgvec.embedding_of('product', 1))::vector").fetchone()
    assert row is not None
    return len(json.loads(row[0]))


def command(database: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = imgvec(database, environment, "collection", "switch", "product", *arguments)
    assert "Traceback" not in done.stderr
    return done


def test_alias_answers_as_its_collection_does(product: Connection) -> None:
    for call in ("near_{}_row(7)", "search_{}(imgvec.embedding_of('photo_grid', 7), 5)"):
        answers = [
            product.execute(f"SELECT * FROM imgvec.{call.format(name)} ORDER BY distance, id").fetchall()
            for name in ("photo_grid", "product")
        ]
        assert answers[0] == answers[1] != []


def test_switch_and_back(product: Connection, database: str, plugin_environment: dict[str, str]) -> None:
    product.execute("PREPARE by_row AS SELECT id FROM imgvec.near_product_row($1) ORDER BY distance LIMIT 5")
    product.execute(
        "PREPARE short AS SELECT id FROM imgvec.search_product(imgvec.embedding_of('product', $1), 5)"
    )
    product.execute("CREATE VIEW alike AS SELECT id, distance FROM imgvec.near_product_row(3)")
    product.execute("SET plan_cache_mode = force_generic_plan")
    before = {name: product.execute(f"EXECUTE {name} (7)").fetchall() for name in ("by_row", "short")}
    oids = function_oids(product)
    assert len(oids) == 13

    done = command(database, plugin_environment, "--to", "color-lines", "--words", "red", "--yes")
    assert done.returncode == 0, done.stderr
    for part in (
        "product: color-grid → color-lines",
        "agreement@10",
        "over 60 rows",
        "not in the new    0 rows",
        "nearest to red",
        "product points to product_color_lines now; back with: imgvec collection switch product --back",
    ):
        assert part in done.stdout, done.stdout
    assert function_oids(product) == oids
    assert dimensions(product) == 27
    row = product.execute("SELECT count(*), min(distance) FROM alike").fetchone()
    assert row is not None
    assert row[0] == ROWS - 1
    for name, expected in before.items():
        found = product.execute(f"EXECUTE {name} (7)").fetchall()
        assert len(found) == len(expected) == 5
        assert found != expected or name == "short"
    written = product.execute(
        "SELECT id FROM imgvec.product_color_lines_embedding WHERE id <> 7 ORDER BY embedding <=>"
        " (SELECT embedding FROM imgvec.product_color_lines_embedding WHERE id = 7) LIMIT 5"
    ).fetchall()
    assert product.execute("EXECUTE by_row (7)").fetchall() == written

    # The triggers of both file what comes now; and the old one may not be dropped from under a name.
    fill_photos(product, 1, first=1000)
    jobs = product.execute("SELECT count(DISTINCT collection_id) FROM imgvec.job").fetchone()
    assert jobs == (2,)
    listed = imgvec(database, plugin_environment, "collection", "list")
    assert [line.split() for line in listed.stdout.splitlines()[-2:]] == [
        ["alias", "points", "to", "before", "that"],
        ["product", "product_color_lines", "photo_grid"],
    ]
    drop = imgvec(database, plugin_environment, "collection", "drop", "product_color_lines", "--yes")
    assert drop.returncode == 1
    assert "the alias product points to collection product_color_lines" in drop.stderr

    # Going back needs no model, and waits for what the old one lacks.
    embed_all(database, "photo_grid")
    back = command(database, plugin_environment, "--back", "--yes", "--json")
    assert back.returncode == 0, back.stderr
    told = json.loads(back.stdout)
    assert (told["from"], told["to"], told["switched"]) == ("product_color_lines", "photo_grid", True)
    assert told["report"]["after"]["dimensions"] == 12
    assert dimensions(product) == 12
    assert product.execute("EXECUTE by_row (7)").fetchall() == before["by_row"]
    assert function_oids(product) == oids

    product.execute("DROP VIEW alike")
    unalias = imgvec(database, plugin_environment, "collection", "unalias", "product")
    assert unalias.returncode == 0, unalias.stderr
    assert function_oids(product) == {}


def test_report_alone_and_dry_run_switch_nothing(
    product: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    dry = command(database, plugin_environment, "--to", "color-lines", "--dry-run")
    assert (
        "product would be switched from photo_grid to product_color_lines; nothing was changed" in dry.stdout
    )
    offline = {**plugin_environment, "HF_HUB_OFFLINE": "1"}
    absent = command(database, offline, "--to", "ViT-B-32/laion2b_s34b_b79k", "--dry-run")
    assert "the weights of ViT-B-32/laion2b_s34b_b79k are not on this machine" in absent.stdout
    assert product.execute("SELECT count(*) FROM imgvec.collection").fetchone() == (1,)
    report = command(database, plugin_environment, "--to", "color-lines", "--report", "--json")
    assert report.returncode == 0, report.stderr
    told = json.loads(report.stdout)
    assert told["switched"] is False
    assert 0 < told["report"]["mean"] < 1
    assert dimensions(product) == 12
    # Where nobody answers the question, nothing is switched either; the second collection is there and is used again.
    asked = command(database, plugin_environment, "--to", "color-lines")
    assert asked.returncode == 1
    assert "add --yes" in asked.stderr
    assert dimensions(product) == 12


def test_words_are_embedded_by_both_models_without_any_worker(
    product: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    asked = ("--to", "color-lines", "--report", "--words", "red", "--words", "heavy", "--json")
    report = command(database, plugin_environment, *asked)
    assert report.returncode == 0, report.stderr
    *_, red, heavy = json.loads(report.stdout)["report"]["examples"]
    assert (len(red["before"]), len(red["after"]), red["problems"]) == (10, 10, [None, None])
    # Colour words only: each side tells its own reason.
    assert (heavy["before"], heavy["after"]) == (None, None)
    assert heavy["problems"][0].startswith("color-grid knows colour words only")
    product.execute("UPDATE imgvec.model SET has_text = false WHERE name = 'color-lines'")
    product.execute("DELETE FROM imgvec.photo_grid_embedding")
    shown = command(database, plugin_environment, *asked[:-1])
    assert "no answer from product_color_lines: no text tower" in shown.stdout
    # Nothing was compared, so nothing took 0.0 ms.
    assert "search, median    -  " in shown.stdout


def test_rows_of_a_worker_that_is_gone_are_waited_for_in_plain_words(
    product: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    request = CollectionSpec(
        name="product_color_lines", source="photo", image=["content"], model="color-lines",
        dimensions=27, has_text=True,
    )  # fmt: skip
    list_source(product, create_collection(product, request))
    product.execute(
        "UPDATE imgvec.job SET token = gen_random_uuid(), attempts = 1, lease_until = now() + interval '12 seconds'"
        " WHERE collection_id = (SELECT id FROM imgvec.collection WHERE name = 'product_color_lines')"
    )
    done = command(database, plugin_environment, "--to", "product_color_lines", "--yes")
    assert done.returncode == 0, done.stderr
    assert (
        "waiting for 60 rows that another worker holds; if it is gone, its lease runs out in" in done.stderr
    )
    assert dimensions(product) == 27


def test_a_model_agrees_with_itself(product: Connection, database: str) -> None:
    here = get_collection(product, "product")
    found = compare_collections(product, here, here, sample=20)
    assert (found.rows, found.mean, found.missing.rows) == (20, 1.0, 0)
    assert found.before.p50_ms is not None
    assert found.before.p50_ms > 0
    assert found.before.index_bytes > 0


def test_rows_missing_in_the_new_one_keep_the_old_one(
    product: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    command(database, plugin_environment, "--to", "color-lines", "--report")
    product.execute("DELETE FROM imgvec.product_color_lines_embedding WHERE id = 5")
    product.execute(
        "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
        " SELECT id, '{\"id\": 5}', 1, 'x', 'x', 1 FROM imgvec.collection WHERE name = 'product_color_lines'"
    )
    refused = command(database, plugin_environment, "--to", "product_color_lines", "--yes")
    assert refused.returncode == 1
    assert "1 rows that photo_grid finds are not in product_color_lines (1 of them failed" in refused.stderr
    assert dimensions(product) == 12
    accepted = command(
        database, plugin_environment, "--to", "product_color_lines", "--accept-missing", "1", "--yes"
    )
    assert accepted.returncode == 0, accepted.stderr
    assert dimensions(product) == 27


def test_a_model_with_other_numbers_is_not_switched_to(
    product: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    command(database, plugin_environment, "--to", "color-lines", "--report")
    broken = {**plugin_environment, "IMGVEC_TEST_SHIFT": "200"}
    for missing in (0, 1):
        # Neither where nothing is left to fill nor where a row is: at once, and not after the time for catching up.
        fill_photos(product, missing, first=5000)
        began = time.monotonic()
        refused = command(database, broken, "--to", "product_color_lines", "--yes")
        assert refused.returncode == 1
        assert "computes other vectors here than at its first use" in refused.stderr
        assert "--accept-missing" not in refused.stderr
        assert time.monotonic() - began < CATCH_UP_SECONDS
        assert dimensions(product) == 12


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "say what to switch to, --to MODEL, or --back"),
        (["--to", "color-lines", "--back"], 2, "say what to switch to"),
        (["--model", "color-lines"], 2, "No such option '--model'; say --to color-lines"),
        (["--model"], 2, "No such option '--model'; say --to MODEL"),
        (["--back"], 1, "product was not switched yet"),
        (["--to", "color-lnes"], 2, "there is no model 'color-lnes'"),
        (["--to", "ViT-B-33/laion2b_s34b_b79k"], 2, "the nearest names are ViT-B-32"),
        (["--to", "ViT-B-32/laion2b_s34b_b79k", "--yes"], 1, "the weights of ViT-B-32/laion2b_s34b_b79k are not on this"),
        (["--to", "color-grid"], 1, "product is embedded by color-grid already"),
        (["--to", "photo_grid"], 1, "product points to photo_grid already"),
        (["--to", "other"], 1, "an alias switches between collections of one source"),
        (["--to", "color-lines", "--name", "other"], 1, "choose a name with --name"),
        (["--to", "demo", "--device", "cuda"], 1, "use --device cpu"),
    ],
)  # fmt: skip
def test_what_cannot_be_switched_to_changes_nothing(
    module_shop: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ended = run(cli, ["collection", "switch", "product", *arguments, "--dsn", module_shop])
    told = capsys.readouterr().err
    assert (ended, message in told) == (code, True), told
    with connect(module_shop) as connection:
        names = connection.execute("SELECT array_agg(name ORDER BY name) FROM imgvec.collection").fetchone()
        assert names == (["other", "photo_grid"],)
        assert get_alias(connection, "product").collection_name == "photo_grid"


@pytest.fixture(scope="module")
def module_shop(module_database: str) -> str:
    """Give a database with the alias product of an empty collection, and a collection of another table."""
    with connect(module_database) as connection:
        connection.execute(
            "CREATE TABLE photo (id integer PRIMARY KEY, content bytea);"
            "CREATE TABLE other_photo (id bigint PRIMARY KEY, content bytea)"
        )
        for name, relation in (("photo_grid", "photo"), ("other", "other_photo")):
            request = CollectionSpec(
                name=name, source=relation, image=["content"], model="color-grid",
                dimensions=12, has_text=True,
            )  # fmt: skip
            create_collection(connection, request)
        create_alias(connection, "product", "photo_grid")
    return module_database


def test_names_that_cannot_be_aliases(module_shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, message in (
        (("alias", "other", "photo_grid"), 1, '"other" is a collection already'),
        (
            ("create", "product", "--source", "photo", "--image", "content", "--model", "demo"),
            1,
            '"product" is an alias of collection photo_grid',
        ),
        (("alias", "product", "other"), 1, '"product" is an alias already'),
        (("alias", "no-name", "photo_grid"), 2, "cannot name a collection"),
        (("alias", "new", "nothing"), 1, 'collection "nothing" does not exist'),
        (("unalias", "photo_grid"), 1, "photo_grid is a collection, whose model never changes"),
        (("switch", "photo_grid", "--to", "demo"), 1, "imgvec collection alias NAME photo_grid"),
        (("switch", "nothing", "--to", "demo"), 1, 'alias "nothing" does not exist; there are: product'),
    ):
        ended = run(cli, ["collection", *arguments, "--dsn", module_shop])
        told = capsys.readouterr().err
        assert (ended, message in told) == (code, True), told


def test_alias_over_a_composite_key(
    connection: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    connection.execute(
        "CREATE TABLE shot (tenant integer, id text, content bytea, PRIMARY KEY (tenant, id));"
    )
    draw = random.Random(3)
    for number in range(20):
        connection.execute(
            "INSERT INTO shot VALUES (%s, %s, %s)", [number % 2, f"a{number}", random_picture(draw)]
        )
    request = CollectionSpec(
        name="shot_grid", source="shot", image=["content"], model="color-grid", dimensions=12,
        has_text=True,
    )  # fmt: skip
    list_source(connection, create_collection(connection, request))
    embed_all(database, "shot_grid")
    create_alias(connection, "product", "shot_grid")
    query = (
        'SELECT tenant, id FROM imgvec.search_product(imgvec.embedding_of(\'product\', \'{"tenant": 0, "id": "a2"}\'), 3,'
        " ARRAY[ROW(0, 'a2'), ROW(1, 'a3')]::imgvec.product_key[])"
    )
    assert connection.execute(query).fetchall() == [(0, "a2"), (1, "a3")]
    connection.execute(f"PREPARE few AS {query}")
    done = command(database, plugin_environment, "--to", "color-lines", "--yes")
    assert done.returncode == 0, done.stderr
    assert connection.execute("EXECUTE few").fetchall() == [(0, "a2"), (1, "a3")]
    assert "nearest to id=a" in done.stdout


def test_a_session_that_reads_and_writes_never_notices(
    product: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    """The same under 50 readers: benchmarks/switch.py."""
    ended = threading.Event()
    problems: list[str] = []
    answers = [0] * 6

    def read(place: int) -> None:
        calls = (
            "SELECT id FROM imgvec.near_product_row({}) ORDER BY distance LIMIT 10",
            "SELECT n.id FROM imgvec.near_product_row({}) n JOIN photo USING (id) ORDER BY n.distance LIMIT 10",
            "SELECT id FROM imgvec.near_product((SELECT embedding FROM imgvec.photo_grid_embedding WHERE id = {})) LIMIT 0",
        )
        with connect(database) as session:
            while not ended.is_set():
                number = answers[place] % ROWS + 1
                call = calls[place % 2].format(number)
                try:
                    found = session.execute(call, prepare=True).fetchall()
                except psycopg.Error as error:
                    problems.append(str(error))
                    return
                if len(found) != 10:
                    problems.append(f"{len(found)} rows of {call}")
                answers[place] += 1
                time.sleep(0.005)

    def write() -> None:
        with connect(database) as session:
            number = 2000
            while not ended.is_set():
                fill_photos(session, 1, first=number)
                number += 1
                time.sleep(0.02)

    follower = Worker(database, "photo_grid", ColorGrid(), PipelineOptions(follow=True, decode_threads=1))
    with ExitStack() as stack:
        threads = [threading.Thread(target=read, args=(place,)) for place in range(4)]
        threads += [threading.Thread(target=write), threading.Thread(target=follower.run)]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(follower.request_stop)
        stack.callback(ended.set)
        done = command(database, plugin_environment, "--to", "color-lines", "--yes")
        assert done.returncode == 0, done.stderr
        before = list(answers)
        wait_until(
            lambda: problems or all(now > then + 10 for now, then in zip(answers[:4], before, strict=False)),
            "each to ask the new collection",
        )
    assert problems == []
    assert dimensions(product) == 27


@pytest.mark.parametrize("root", [[], ["--root", "/srv/photos"]], ids=["urls", "paths-and-urls"])
def test_the_new_collection_keeps_the_urls_that_may_be_fetched(
    connection: Connection, database: str, root: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    connection.execute("CREATE TABLE product (id integer PRIMARY KEY, photo text)")
    create = [
        "collection",
        "create",
        "product_grid",
        "--source",
        "product",
        "--image",
        "photo",
        "--model",
        "color-grid",
    ]
    urls = ["--url", "https://images.example.com", "--url", "s3://shop-photos"]
    assert run(cli, [*create, *root, *urls, "--dsn", database]) == 0
    create_alias(connection, "product", "product_grid")
    switch = ["collection", "switch", "product", "--to", "color-lines", "--no-fill", "--yes"]
    assert run(cli, [*switch, "--dsn", database]) == 0, capsys.readouterr().err
    made = get_collection(connection, "product")
    assert (made.model_name, made.root) == ("color-lines", root[1] if root else None)
    assert made.url_prefixes == ["https://images.example.com", "s3://shop-photos"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, "143"),
        ({"143": "red shoes"}, "143 red shoes"),
        ({"143": "/home/ann/Pictures/2019/beach.jpg"}, "143 …019/beach.jpg"),
        ({"143": "a red shoe with white laces"}, "143 a red shoe wi…"),
        ({"143": "evil\x1b[31m"}, "143 evil\\x1b[31m"),
    ],
)
def test_the_report_names_rows_beside_their_keys(labels: dict[str, str], expected: str) -> None:
    assert labelled("143", labels, 18) == expected
    assert labelled("a very long key of a row", labels, 18) == "a very long key o…"


def test_rows_without_a_name_are_shown_by_key_and_others_with_it(
    product: Connection,
    database: str,
    plugin_environment: dict[str, str],
) -> None:
    product.execute("ALTER TABLE photo ADD title text")
    product.execute("UPDATE photo SET title = 'picture ' || id WHERE id % 2 = 0")
    done = command(database, plugin_environment, "--to", "color-lines", "--report")
    assert done.returncode == 0, done.stderr
    # "    1  = 12 picture 12    17": a place, then an answer of each side.
    answers = [
        answer.removeprefix("= ")
        for line in done.stdout.splitlines()
        if line[:5].strip().isdigit()
        for answer in (line[7:41].strip(), line[41:].strip())
    ]
    assert len(answers) == 5 * 2 * 5
    assert {answer.split()[0] for answer in answers if "picture" in answer}
    for answer in answers:
        key = answer.split()[0]
        assert answer == (key if int(key) % 2 else f"{key} picture {key}")
