"""Many new rows beside an index: added to it, or the index dropped and built anew after them; what is said of it."""

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import psycopg
import pytest
from photostore import as_role, make_photos, new_role
from workers import NAME, make_table, queued_keys

from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.backfill import index_during_fill
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError, NotOwnerError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index import refill
from imgvec_pg.store.index.ddl import has_valid_index, index_states
from imgvec_pg.store.index.refill import plan_refill
from imgvec_pg.store.registry import get_collection

INDEX = "CREATE INDEX photo_test_embedding_hnsw ON imgvec.photo_test_embedding USING hnsw (embedding halfvec_cosine_ops)"
AS_MADE = f"{INDEX} WITH (m = 16, ef_construction = 64)"
MILLION = "UPDATE pg_class SET reltuples = {} WHERE oid = 'imgvec.photo_test_embedding'::regclass"


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    return make_photos(scratch)


def told(connection: Connection, photos: Collection, rows: int, new: int) -> refill.Refill:
    """Decide for a table of so many rows, as far as the planner knows."""
    connection.execute(MILLION.format(rows))  # type: ignore[arg-type]
    connection.execute("UPDATE imgvec.model SET images_per_second = coalesce(images_per_second, 1000)")
    return plan_refill(connection, photos, new)


def test_the_share_of_new_rows_decides(scratch: Connection, photos: Collection) -> None:
    assert told(scratch, photos, 100_000, 100_000) == refill.Refill(False, None)  # There is no index yet.
    scratch.execute(AS_MADE)  # type: ignore[arg-type]
    assert told(scratch, photos, 100_000, 20_000) == refill.Refill(False, None)
    assert told(scratch, photos, 1000, 5000) == refill.Refill(False, None)
    after = told(scratch, photos, 100_000, 60_000)
    assert after.after and after.line is not None
    assert after.line.startswith(
        "60,000 rows to embed beside about 100,000: the index is dropped and built anew"
    )
    assert "about 0.1 s (--index live keeps it)" in after.line
    slow = told(scratch, photos, 8_000_000, 8_000_000)
    assert not slow.after and slow.line is not None and "--index after" in slow.line and "64 s" in slow.line


def test_a_choice_comes_before_the_share(scratch: Connection, photos: Collection) -> None:
    scratch.execute(AS_MADE)  # type: ignore[arg-type]
    assert plan_refill(scratch, photos, 1, "after").after
    scratch.execute(MILLION.format(100_000))  # type: ignore[arg-type]
    kept = plan_refill(scratch, photos, 100_000, "live")
    assert (kept.after, kept.line) == (
        False,
        "100,000 rows to embed beside about 100,000: they go into the live index, as asked",
    )


@pytest.mark.parametrize(
    "index",
    [
        INDEX.replace("photo_test_embedding_hnsw", "mine"),
        f"{INDEX} WITH (m = 24, ef_construction = 64)",
        INDEX.replace("hnsw (embedding halfvec_cosine_ops)", "ivfflat (embedding halfvec_cosine_ops)"),
    ],
)
def test_an_index_that_is_not_as_imgvec_makes_it_stays(
    scratch: Connection, photos: Collection, index: str
) -> None:
    scratch.execute(index)  # type: ignore[arg-type]
    assert not told(scratch, photos, 100_000, 100_000).after
    with pytest.raises(CollectionError, match="use --index live"):
        plan_refill(scratch, photos, 100_000, "after")


def test_a_role_that_only_fills_leaves_the_index_alone(scratch: Connection, photos: Collection) -> None:
    scratch.execute(AS_MADE)  # type: ignore[arg-type]
    with new_role(scratch) as role:
        scratch.execute(f"GRANT imgvec_worker TO {role}")  # type: ignore[arg-type]
        scratch.execute(MILLION.format(100_000))  # type: ignore[arg-type]
        with as_role(scratch, role):
            assert not plan_refill(scratch, photos, 100_000).after
            with pytest.raises(NotOwnerError, match="as the owner of imgvec"):
                plan_refill(scratch, photos, 100_000, "after")


@pytest.fixture
def filled(
    connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path
) -> Iterator[Collection]:
    """A table whose rows are embedded and indexed, and ten new ones."""
    make_table(connection, tmp_path, 20, model="color-grid")
    with mock.patch.dict(os.environ, plugin_environment):
        assert backfill(database)[0] == 0
        connection.execute(
            "INSERT INTO photo (id, content) SELECT 100 + id, coalesce(content, '') || '\\x00' FROM photo WHERE id <= 10"
        )
        yield get_collection(connection, NAME)


def backfill(database: str, *arguments: str) -> tuple[int, str]:
    """Run `imgvec backfill` within this process; return its exit code and what it said on stderr."""
    stderr = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(stderr):
        code = run(cli, ["backfill", NAME, *arguments, "--dsn", database])
    return code, stderr.getvalue()


def indexes(connection: Connection, collection: Collection) -> list[tuple[str, int]]:
    return connection.execute(
        "SELECT i.indexrelid::regclass::text, i.indexrelid::integer FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
        " WHERE c.relname = ANY (%s) AND i.indisvalid",
        [[state.index_name for state in index_states(connection, collection)]],
    ).fetchall()


def test_a_forced_refill_builds_the_index_anew(
    connection: Connection, database: str, filled: Collection
) -> None:
    before = indexes(connection, filled)
    _, said = backfill(database, "--index", "after")
    assert "the index is dropped and built anew after them, as asked" in said
    after = indexes(connection, filled)
    assert [name for name, _ in before] == [name for name, _ in after] and before != after
    assert queued_keys(connection) == 0


def test_a_refill_into_the_live_index_leaves_it_as_it_is(
    connection: Connection, database: str, filled: Collection
) -> None:
    before = indexes(connection, filled)
    assert "as asked" in backfill(database, "--index", "live")[1]
    assert before == indexes(connection, filled) != []


def test_rows_that_still_wait_do_not_keep_a_dropped_index_away(
    connection: Connection, database: str, filled: Collection
) -> None:
    backfill(database, "--index", "after", "--limit", "3")
    assert queued_keys(connection) == 7
    assert has_valid_index(connection, filled)


def test_a_fill_that_ends_early_says_how_the_index_comes_back(
    connection: Connection, database: str, filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(worker: Worker, *_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_work", stopped)
        code, said = backfill(database, "--index", "after")
    assert code != 0 and not has_valid_index(connection, filled)
    assert f"imgvec backfill {NAME} goes on and builds it" in said
    backfill(database)
    assert has_valid_index(connection, filled) and queued_keys(connection) == 0


def test_a_model_that_cannot_be_loaded_costs_no_index(
    connection: Connection, database: str, filled: Collection
) -> None:
    before = indexes(connection, filled)
    code, said = backfill(database, "--index", "after", "--weights", "/nonexistent")
    assert code != 0 and "goes on and builds it" not in said
    assert before == indexes(connection, filled) != []


def test_what_cannot_go_together_is_refused(database: str) -> None:
    assert backfill(database, "--index", "after", "--no-index")[0] == 2


def test_an_index_stays_where_nobody_knows_how_long_the_model_takes(
    scratch: Connection, photos: Collection
) -> None:
    scratch.execute(AS_MADE)  # type: ignore[arg-type]
    scratch.execute(MILLION.format(100_000))  # type: ignore[arg-type]
    kept = plan_refill(scratch, photos, 60_000)
    assert not kept.after and kept.line is not None and "no worker has measured yet" in kept.line


def test_an_index_whose_drop_lost_its_session_is_built_again(
    connection: Connection, database: str, filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> bool:
        raise psycopg.OperationalError("terminating connection")

    monkeypatch.setattr(index_during_fill, "drop_for_refill", lost)
    index = index_during_fill.IndexDuringFill(database, filled)
    index.plan(connection, 10, "after")
    index.begin()
    assert index.is_dropped
