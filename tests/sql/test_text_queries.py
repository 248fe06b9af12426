"""Words and pictures in plain SQL: from the cache, from a running worker, or with an error that says what to do."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from asking import PATIENT, answering, embed_text, logged_in_reader
from colorshop import COLORS, FROM_RED, embedding, make_shop, picture, request
from imgvec_test_embedder import ColorGrid
from photostore import make_collection
from psycopg import sql
from workers import NAME as PHOTOS
from workers import count, make_table, running, wait_until

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import UsageError
from imgvec_pg.search.query_embedding import ModelOptions, ask_with_words
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.queue.query_requests import drop_left_behind, evict_texts
from imgvec_pg.store.setup.text_relay import install_relay

# "color-grid" takes any text with a colour word in it.
AWKWARD = (
    "red'); DROP TABLE shop.product; --",
    "red \" \\ \\' %s %L $1 $$ {} {0} :x",
    "red ‮ 赤 🍎\n\t\x01",
    "E'red\\n'",
)


@pytest.fixture
def shop(connection: Connection) -> Collection:
    return make_shop(connection)


@pytest.fixture
def relay(connection: Connection, shop: Collection) -> Collection:
    """Set words up, with no worker running; on a busy machine one that runs may take longer than the usual two seconds."""
    install_relay(connection)
    connection.execute(PATIENT)
    return shop


def cached_texts(connection: Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT text FROM imgvec.text_embedding")}


def keep(connection: Connection, *texts: str) -> None:
    """Put texts into the cache, all with the vector of red."""
    for text in texts:
        connection.execute(
            "INSERT INTO imgvec.text_embedding SELECT id, %s, %s::halfvec FROM imgvec.model",
            [text, str(embedding("red").tolist())],
        )


def relay_sessions(connection: Connection) -> int:
    return count(
        connection,
        "pg_stat_activity WHERE application_name = 'imgvec words' AND datname = current_database()",
    )


def test_a_running_worker_embeds_what_is_not_cached(
    connection: Connection,
    database: str,
    relay: Collection,
    plugin_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    ask = "SELECT id, distance FROM imgvec.near_product_color_text('red') ORDER BY distance, id"
    with running(database, plugin_environment, tmp_path, "worker", "product_color") as worker:
        wait_until(lambda: count(connection, "imgvec.worker"), "the worker")
        connection.execute(PATIENT)
        found = connection.execute(ask).fetchall()
        assert worker.is_alive()
    for number, distance in found:
        assert distance == pytest.approx(FROM_RED[COLORS[number - 1]], abs=2e-3)
    # The worker is gone: only the cache can answer.
    assert connection.execute(ask).fetchall() == found
    assert cached_texts(connection) == {"red"}
    assert count(connection, "imgvec.embedding_request") == 0
    wait_until(lambda: not relay_sessions(connection), "the relay's session to end")


def test_words_are_answered_while_a_backfill_runs(
    connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path
) -> None:
    make_table(connection, tmp_path, rows=400)
    install_relay(connection)
    connection.execute(PATIENT)
    environment = {**plugin_environment, "IMGVEC_TEST_PREPARE_SECONDS": "0.1"}
    arguments = ("backfill", PHOTOS, "--decode-threads", "1", "--batch-size", "16")
    with running(database, environment, tmp_path, *arguments) as backfill:
        wait_until(lambda: count(connection, "imgvec.photo_grid_embedding"), "the first batch")
        for color in ("red", "blue", "cyan", "magenta", "yellow", "white"):
            np.testing.assert_allclose(embed_text(connection, color, PHOTOS), embedding(color), atol=1e-3)
        assert backfill.is_alive()
        assert count(connection, "imgvec.photo_grid_embedding") < 400


def test_nobody_answering_is_an_error_in_time_with_the_next_step(
    connection: Connection, relay: Collection
) -> None:
    for setting, seconds in (("'200 ms'", 0.2), ("0.3", 0.3), ("''", 2)):
        connection.execute(f"SET imgvec.text_timeout = {setting}")  # type: ignore[arg-type]
        began = time.monotonic()
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
            embed_text(connection, "red")
        # A minute for a busy machine's own time.
        assert seconds <= time.monotonic() - began < seconds + 60
        assert caught.value.diag.message_primary == (
            f"no worker of the model color-grid answered within {int(seconds * 1000)} ms"
        )
        assert caught.value.diag.message_hint == "Start one: imgvec worker product_color"
    assert count(connection, "imgvec.embedding_request") == 0
    wait_until(lambda: not relay_sessions(connection), "the relay's session to end")


@pytest.mark.parametrize("setting", ["soon", "0", "-1 s", "1 year", "';--"])
def test_a_timeout_that_cannot_be_is_refused(connection: Connection, relay: Collection, setting: str) -> None:
    connection.execute("SELECT set_config('imgvec.text_timeout', %s, false)", [setting])
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match=r"text_timeout is .*expected 1 ms to 10 min"
    ):
        embed_text(connection, "red")


def test_a_query_that_waits_can_be_cancelled(connection: Connection, relay: Collection) -> None:
    connection.execute("SET imgvec.text_timeout = '10 min'")
    timer = threading.Timer(0.5, connection.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        embed_text(connection, "red")
    assert time.monotonic() - began < 300  # it would have waited 600
    timer.join()
    # What the cancelled query left behind is cleared by the next one of the session.
    connection.execute("SET imgvec.text_timeout = '50 ms'")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        embed_text(connection, "red")
    wait_until(lambda: not relay_sessions(connection), "the sessions to end")


def test_a_session_left_behind_hangs_up_by_itself(
    connection: Connection, database: str, relay: Collection
) -> None:
    with connect(database) as idle:
        idle.execute("SET imgvec.text_timeout = '30 s'; SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            embed_text(idle, "red")
        assert relay_sessions(connection) == 1
        wait_until(lambda: not relay_sessions(connection), "the session to end")


def test_too_many_waiting_queries_are_refused_at_once(
    connection: Connection, database: str, relay: Collection
) -> None:
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} SET imgvec.max_text_requests = 2").format(name))
    refusals: list[tuple[str, bool]] = []

    def ask(number: int) -> None:
        with connect(database) as asking:
            try:
                embed_text(asking, f"red {number}")
            except psycopg.Error as error:
                hint = str(error.diag.message_hint)
                refusals.append((str(error.sqlstate), "imgvec.max_text_requests" in hint))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(refusals) == [("53400", True)] * 4 + [("55000", False)] * 2


def test_requests_left_behind_are_removed(connection: Connection, relay: Collection) -> None:
    leave = (
        "INSERT INTO imgvec.embedding_request (model_id, text, expires_at)"
        " VALUES (1, 'red', now() - interval '11 s'), (1, 'blue', now() - interval '1 s')"
    )
    left = "SELECT text FROM imgvec.embedding_request"
    connection.execute(leave)
    drop_left_behind(connection)
    assert connection.execute(left).fetchall() == [("blue",)]
    connection.execute(leave)
    connection.execute("SELECT imgvec.enqueue_request(%s, 'green', NULL, 1)", [relay.model_id])
    assert sorted(connection.execute(left).fetchall()) == [("blue",), ("blue",), ("green",)]


def test_a_claim_of_a_dead_worker_is_taken_by_another(
    connection: Connection, database: str, relay: Collection
) -> None:
    connection.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.claimed_until := clock_timestamp() + interval '0.5 s'; RETURN NEW; END $$;"
        "CREATE TRIGGER die BEFORE INSERT ON imgvec.embedding_request FOR EACH ROW EXECUTE FUNCTION die()"
    )
    with answering(database, relay):
        began = time.monotonic()
        np.testing.assert_allclose(embed_text(connection, "red"), embedding("red"), atol=1e-3)
        assert time.monotonic() - began > 0.45


def test_what_a_worker_cannot_embed_comes_back_as_its_reason(
    connection: Connection, database: str, relay: Collection
) -> None:
    with answering(database, relay):
        for _ in range(2):
            with pytest.raises(psycopg.errors.ExternalRoutineException) as caught:
                embed_text(connection, "heavy")
            assert "knows colour words only" in str(caught.value.diag.message_primary)
            assert "CALL imgvec.prepare_text" not in str(caught.value)
        with pytest.raises(psycopg.errors.ExternalRoutineException, match="knows colour words only"):
            connection.execute("CALL imgvec.prepare_text('product_color', 'heavy')")
        embed_text(connection, "red")
    assert cached_texts(connection) == {"red"}


class Nonsense(ColorGrid):
    """Gives vectors that are none, or raises what it likes."""

    def embed_texts(self, texts: Any) -> Any:
        if texts == ["red"]:
            raise ValueError("nul \0 and\nlines")
        return super().embed_texts(texts) * (float("nan") if texts == ["blue"] else 3)


def test_a_model_that_breaks_is_an_error_and_not_a_vector(
    connection: Connection, database: str, relay: Collection
) -> None:
    with answering(database, relay, Nonsense()):
        for color, reason in (
            ("red", "ValueError: nul  and lines"),
            ("blue", "norm nan"),
            ("cyan", "norm 3"),
        ):
            with pytest.raises(psycopg.errors.ExternalRoutineException, match=reason):
                embed_text(connection, color)
    assert cached_texts(connection) == set()


def test_awkward_words_are_words(connection: Connection, database: str, relay: Collection) -> None:
    with answering(database, relay):
        for words in AWKWARD:
            np.testing.assert_allclose(embed_text(connection, words), embedding("red"), atol=1e-3)
    assert cached_texts(connection) == set(AWKWARD)
    for words in AWKWARD:
        ask_with_words(connection, relay, words, ModelOptions())
    assert count(connection, "shop.product") == len(COLORS)


@pytest.mark.parametrize(
    ("collection", "words", "kind", "message", "hint"),
    [
        ("nope", "red", "UndefinedObject", 'collection "nope" does not exist', "SELECT name FROM"),
        ("x'; DROP TABLE shop.product; --", "red", "UndefinedObject", "does not exist", "SELECT name FROM"),
        (None, "red", "UndefinedObject", "the collection is NULL", "SELECT name FROM"),
        ("product_color", None, "NullValueNotAllowed", "the words are NULL", "red leather shoes"),
        ("product_color", "", "InvalidParameterValue", "the words are empty", "red leather shoes"),
        ("product_color", " \n\t", "InvalidParameterValue", "the words are empty", "red leather shoes"),
        ("product_color", "x" * 1_000_000, "ProgramLimitExceeded", "1000000 bytes", "Shorten them"),
        ("product_color", "é" * 1001, "ProgramLimitExceeded", "2002 bytes", "Shorten them"),
    ],
)
def test_words_that_cannot_be_are_refused(
    connection: Connection,
    relay: Collection,
    collection: str | None,
    words: str | None,
    kind: str,
    message: str,
    hint: str,
) -> None:
    asked: list[tuple[str, list[object]]] = [
        ("SELECT imgvec.embed_text(%s, %s)", [collection, words]),
        ("CALL imgvec.prepare_text(%s, %s)", [collection, words]),
    ]
    if collection == "product_color":
        asked.append(("SELECT * FROM imgvec.near_product_color_text(%s) ORDER BY distance LIMIT 3", [words]))
    for statement, values in asked:
        with pytest.raises(getattr(psycopg.errors, kind), match=message) as caught:
            connection.execute(statement, values)  # type: ignore[arg-type]
        assert hint in str(caught.value.diag.message_hint)
        assert len(str(caught.value.diag.message_primary)) < 200


def test_nul_is_refused_by_postgresql(connection: Connection, relay: Collection) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        embed_text(connection, "a\0b")
    with pytest.raises(psycopg.errors.CharacterNotInRepertoire):
        connection.execute("SELECT imgvec.embed_text('product_color', convert_from('\\x610062', 'UTF8'))")


def test_model_without_text_tower_takes_no_words(connection: Connection, relay: Collection) -> None:
    connection.execute("UPDATE imgvec.model SET has_text = false")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="no text tower") as caught:
        embed_text(connection, "red")
    assert "imgvec.embed_image" in str(caught.value.diag.message_hint)


def test_an_alias_is_as_good_as_the_name(connection: Connection, database: str, relay: Collection) -> None:
    connection.execute("INSERT INTO imgvec.alias (name, collection_id) VALUES ('product', %s)", [relay.id])
    with answering(database, relay):
        np.testing.assert_allclose(embed_text(connection, "red", "product"), embedding("red"), atol=1e-3)
        image = connection.execute("SELECT imgvec.embed_image('product', %s)", [picture("red")]).fetchone()
    assert image is not None


def test_without_setting_up_the_error_names_both_ways(connection: Connection, shop: Collection) -> None:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        embed_text(connection, "red")
    assert caught.value.diag.message_primary == 'the text "red" has not been embedded yet'
    hint = str(caught.value.diag.message_hint)
    assert "CALL imgvec.prepare_text" in hint and "imgvec words setup" in hint
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="cannot ask a worker"):
        connection.execute("SELECT imgvec.embed_image('product_color', %s)", [picture("red")])
    assert connection.execute("SELECT FROM pg_extension WHERE extname = 'dblink'").fetchone() is None


def test_prepare_text_needs_no_dblink(connection: Connection, database: str, shop: Collection) -> None:
    connection.execute(PATIENT)
    with answering(database, shop):
        connection.execute("CALL imgvec.prepare_text('product_color', 'red')")
        with connect(database) as strict:
            strict.execute(PATIENT)
            strict.execute("SET default_transaction_isolation = 'serializable'")
            strict.execute("CALL imgvec.prepare_text('product_color', 'blue')")
    # Cached: no worker is needed any more.
    connection.execute("CALL imgvec.prepare_text('product_color', 'red')")
    np.testing.assert_allclose(embed_text(connection, "red"), embedding("red"), atol=1e-3)
    assert cached_texts(connection) == {"red", "blue"}


def test_prepare_text_says_when_nobody_answers(connection: Connection, shop: Collection) -> None:
    connection.execute("SET imgvec.text_timeout = '100 ms'")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="no worker") as caught:
        connection.execute("CALL imgvec.prepare_text('product_color', 'red')")
    assert caught.value.diag.message_hint == "Start one: imgvec worker product_color"
    connection.execute("CREATE TABLE other (id bigint PRIMARY KEY, file text)")
    make_collection(connection, "other", "a_color", model=shop.model_name, dimensions=shop.dimensions)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        connection.execute("CALL imgvec.prepare_text('product_color', 'red')")
    assert caught.value.diag.message_hint == (
        "Start one; that of any collection with this model will do: imgvec worker a_color"
    )
    connection.execute("SET imgvec.max_text_requests = 0")
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
        connection.execute("CALL imgvec.prepare_text('product_color', 'red')")
    connection.execute("SET imgvec.max_text_requests = 9")
    with pytest.raises(psycopg.errors.InvalidTransactionTermination), connection.transaction():
        connection.execute("CALL imgvec.prepare_text('product_color', 'red')")


def test_words_are_answered_within_any_transaction(
    connection: Connection, database: str, relay: Collection
) -> None:
    with answering(database, relay):
        for mode in ("ISOLATION LEVEL REPEATABLE READ", "ISOLATION LEVEL SERIALIZABLE", "READ ONLY"):
            with connection.transaction():
                connection.execute(f"SET TRANSACTION {mode}")  # type: ignore[arg-type]
                connection.execute("SELECT 1")
                np.testing.assert_allclose(embed_text(connection, f"red {mode}"), embedding("red"), atol=1e-3)


def test_words_are_answered_within_a_parallel_plan(
    connection: Connection, database: str, relay: Collection
) -> None:
    for setting in (
        "debug_parallel_query = on",
        "parallel_setup_cost = 0",
        "parallel_tuple_cost = 0",
        "min_parallel_table_scan_size = 0",
    ):
        connection.execute(f"SET {setting}")  # type: ignore[arg-type]
    ask = "SELECT count(*) FROM imgvec.near_product_color_text('red') WHERE distance < 0.7"
    plan = connection.execute(f"EXPLAIN (FORMAT JSON) {ask}").fetchone()  # type: ignore[arg-type]
    assert "Gather" in str(plan)
    with answering(database, relay):
        assert connection.execute(ask).fetchone() == (4,)  # type: ignore[arg-type]


def test_pictures_are_embedded_and_not_kept(connection: Connection, database: str, relay: Collection) -> None:
    statement = "SELECT imgvec.embed_image('product_color', %s)::text"
    with answering(database, relay):
        for color in COLORS:
            row = connection.execute(statement, [picture(color, (400, 300))]).fetchone()
            assert row is not None
            found = np.array(row[0].strip("[]").split(","), dtype=float)
            np.testing.assert_allclose(found, embedding(color), atol=1e-3)
        with pytest.raises(psycopg.errors.ExternalRoutineException, match="no image"):
            connection.execute(statement, [b"\0\xff' text"])
    assert count(connection, "imgvec.text_embedding") == count(connection, "imgvec.embedding_request") == 0


@pytest.mark.parametrize(
    ("collection", "image", "kind", "message"),
    [
        ("nope'", b"x", "UndefinedObject", 'collection "nope\'" does not exist'),
        ("product_color", None, "NullValueNotAllowed", "the picture is NULL"),
        ("product_color", b"", "ProgramLimitExceeded", "0 bytes"),
        ("product_color", b"x" * (32 * 2**20 + 1), "ProgramLimitExceeded", "33554433 bytes"),
    ],
)
def test_pictures_that_cannot_be_are_refused(
    connection: Connection, relay: Collection, collection: str, image: bytes | None, kind: str, message: str
) -> None:
    with pytest.raises(getattr(psycopg.errors, kind), match=message) as caught:
        connection.execute("SELECT imgvec.embed_image(%s, %b)", [collection, image])
    assert caught.value.diag.message_hint


@pytest.fixture
def photo_of(connection: Connection, shop: Collection) -> Collection:
    return create_collection(connection, request("product_photo", prompt="a photo of {}, {}"))


def test_prompts_never_mix_in_the_cache(
    connection: Connection, database: str, shop: Collection, photo_of: Collection
) -> None:
    install_relay(connection)
    connection.execute(PATIENT)
    with answering(database, shop):
        embed_text(connection, "red", "product_color")
        embed_text(connection, "red", "product_photo")
        connection.execute("CALL imgvec.prepare_text('product_photo', 'blue')")
    ask_with_words(connection, photo_of, "green", ModelOptions())
    assert cached_texts(connection) == {
        "red",
        "a photo of red, red",
        "a photo of blue, blue",
        "a photo of green, green",
    }
    # Each way finds what the others kept.
    for words in ("red", "blue", "green"):
        embed_text(connection, words, "product_photo")
    connection.execute("UPDATE imgvec.text_embedding SET text = replace(text, 'blue', 'no colour')")
    assert ask_with_words(connection, photo_of, "no colour", ModelOptions()).shown == "no colour"


def test_a_prompt_leaves_less_room_for_words(
    connection: Connection, shop: Collection, photo_of: Collection
) -> None:
    words = "red" + 997 * "x"
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="with the collection's prompt"):
        embed_text(connection, words, "product_photo")
    with pytest.raises(UsageError, match=r"2013 bytes with the prompt .*shorten them"):
        ask_with_words(connection, photo_of, words, ModelOptions())


@pytest.mark.parametrize("prompt", ["a photo", "", "{} \0", "{}" + "x" * 499, "{} \udcff"])
def test_a_prompt_that_cannot_be_is_refused(connection: Connection, shop: Collection, prompt: str) -> None:
    with pytest.raises(UsageError, match="prompt"):
        create_collection(connection, request("other", prompt=prompt))


def age(connection: Connection, text: str, interval: str) -> None:
    connection.execute(
        "UPDATE imgvec.text_embedding SET used_at = now() - %s::interval WHERE text = %s", [interval, text]
    )


def test_old_texts_are_forgotten_and_then_the_longest_unused(
    connection: Connection, shop: Collection
) -> None:
    keep(connection, "a", "b", "c", "d")
    for text, interval in (("a", "91 days"), ("b", "89 days"), ("c", "2 days"), ("d", "1 day")):
        age(connection, text, interval)
    assert evict_texts(connection) == 1
    assert connection.execute("SELECT imgvec.evict_texts(max_rows => 2)").fetchone() == (1,)
    assert cached_texts(connection) == {"c", "d"}
    assert connection.execute("SELECT imgvec.evict_texts(interval '36 hours')").fetchone() == (1,)
    assert cached_texts(connection) == {"d"}
    connection.execute("SET imgvec.text_cache_rows = 0")
    assert evict_texts(connection) == 1
    for arguments in ("interval '-1 s'", "max_rows => -1"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute(f"SELECT imgvec.evict_texts({arguments})")  # type: ignore[arg-type]


def test_a_worker_tidies_up(connection: Connection, database: str, shop: Collection) -> None:
    keep(connection, "a", "b")
    age(connection, "a", "91 days")
    connection.execute(
        "INSERT INTO imgvec.embedding_request (model_id, text, expires_at) VALUES (1, 'x', now() - interval '1 h')"
    )
    with answering(database, shop):
        wait_until(lambda: cached_texts(connection) == {"b"}, "the worker to forget old texts")
        wait_until(lambda: not count(connection, "imgvec.embedding_request"), "left-overs to go")


def test_use_is_noted_by_clients_and_never_by_queries(connection: Connection, shop: Collection) -> None:
    keep(connection, "red")
    used_at = "SELECT now() - used_at < '1 minute' FROM imgvec.text_embedding"
    age(connection, "red", "2 days")
    embed_text(connection, "red")
    assert connection.execute(used_at).fetchone() == (False,)
    ask_with_words(connection, shop, "red", ModelOptions())
    assert connection.execute(used_at).fetchone() == (True,)
    age(connection, "red", "2 hours")
    ask_with_words(connection, shop, "red", ModelOptions())
    assert connection.execute(used_at).fetchone() == (False,)


@pytest.fixture
def reader(connection: Connection, database: str) -> Iterator[Connection]:
    with logged_in_reader(connection, database) as opened:
        opened.execute(PATIENT)
        yield opened


def test_a_reader_asks_workers_and_sees_nobody_elses_requests(
    connection: Connection, database: str, relay: Collection, reader: Connection
) -> None:
    with answering(database, relay):
        np.testing.assert_allclose(embed_text(reader, "red"), embedding("red"), atol=1e-3)
        reader.execute("CALL imgvec.prepare_text('product_color', 'blue')")
        reader.execute("SELECT imgvec.embed_image('product_color', %s)", [picture("red")])
    assert cached_texts(connection) == {"red", "blue"}
    for statement in (
        "SELECT image FROM imgvec.embedding_request",
        "SELECT text FROM imgvec.embedding_request",
        "UPDATE imgvec.embedding_request SET error = 'x'",
        "DELETE FROM imgvec.embedding_request",
        "INSERT INTO imgvec.embedding_request (model_id, expires_at, embedding) VALUES (1, now(), '[1]')",
        "SELECT imgvec.evict_texts()",
        "SELECT dblink_connect('dbname=postgres')",
    ):
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege if "dblink" not in statement else psycopg.Error
        ):
            reader.execute(statement)  # type: ignore[arg-type]


def test_planning_asks_nobody(connection: Connection, shop: Collection) -> None:
    for statement in (
        "SELECT * FROM imgvec.near_product_color_text('never embedded') ORDER BY distance LIMIT 5",
        "SELECT * FROM imgvec.near_product_color_text('never embedded') WHERE distance < 0.5",
        "SELECT * FROM shop.product JOIN imgvec.near_product_color_text('never embedded') USING (id)",
    ):
        connection.execute(f"EXPLAIN {statement}")  # type: ignore[arg-type]
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute(statement)  # type: ignore[arg-type]
