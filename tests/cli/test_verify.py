"""`imgvec verify`: every kind of difference is found, named and mended, and nothing else is taken for one."""

import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from workers import (
    change_picture,
    check,
    imgvec,
    make_table,
    put_file,
    queued_keys,
    random_picture,
    running,
    wait_until,
)

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.registry import get_collection

NAME = "photo_grid"
ROWS = 14
WITHOUT_TRIGGERS = sql.SQL("SET LOCAL session_replication_role = replica")
# Odd rows have bytes, even ones a file.
MISSING, MOVED, BYTES, FILE, GONE_FILE, CLEARED, BAD, OTHER_VECTOR, FAILED = 1, 2, 3, 4, 6, 8, 9, 11, 21

Verify = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def verify(database: str, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the command in this process; give its exit code and what it says of the one collection."""

    def call(*options: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = run(cli, ["verify", NAME, "--json", "--dsn", database, "--device", "cpu", *options])
        captured = capsys.readouterr()
        assert code in (0, 4), captured.err
        return code, json.loads(captured.out)[0]

    return call


@pytest.fixture
def filled(connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path) -> Path:
    """Fill the table, one row failing; give the folder of its files."""
    make_table(connection, tmp_path, ROWS, model="color-grid")
    # Room for other bytes of the same length; PNG readers stop at its end.
    connection.execute("UPDATE photo SET content = content || %s WHERE id = %s", [bytes(100), BYTES])
    put_file(connection, tmp_path, FAILED, random_picture(random.Random(9))[:60])
    fill(database, plugin_environment, expected=4)
    return tmp_path


def fill(database: str, environment: dict[str, str], expected: int = 0) -> None:
    done = imgvec(database, environment, "backfill", NAME, "--device", "cpu", "--no-index")
    assert done.returncode == expected, done.stderr


def kinds(report: dict[str, Any]) -> dict[str, int]:
    return {found["kind"]: found["rows"] for found in report["differences"]}


def spoil(connection: Connection, root: Path) -> None:
    """Bring in every kind of difference, each by a row of its own, behind the triggers' back."""
    draw = random.Random(3)
    connection.execute("ALTER TABLE imgvec.photo_grid_embedding DROP CONSTRAINT embedding_is_unit")
    with connection.transaction():
        connection.execute(WITHOUT_TRIGGERS)
        connection.execute("DELETE FROM imgvec.photo_grid_embedding WHERE id = %s", [MISSING])
        (root / "moved.png").write_bytes(random_picture(draw))
        connection.execute("UPDATE photo SET path = 'moved.png' WHERE id = %s", [MOVED])
        # The same length, so that only reading tells.
        row = connection.execute("SELECT length(content) FROM photo WHERE id = %s", [BYTES]).fetchone()
        assert row is not None
        connection.execute(
            "UPDATE photo SET content = %s WHERE id = %s", [random_picture(draw).ljust(row[0], b"\0"), BYTES]
        )
        (root / f"{FILE}.png").write_bytes(random_picture(draw))
        (root / f"{GONE_FILE}.png").unlink()
        connection.execute("UPDATE photo SET path = NULL WHERE id = %s", [CLEARED])
        connection.execute("UPDATE photo SET path = 'moved.png' WHERE id = %s", [FAILED])
        connection.execute(
            "UPDATE imgvec.photo_grid_embedding SET embedding = (SELECT array_fill(2.0::real, ARRAY[12])::vector::halfvec)"
            " WHERE id = %s",
            [BAD],
        )
        connection.execute(
            "UPDATE imgvec.photo_grid_embedding SET embedding = (SELECT embedding FROM imgvec.photo_grid_embedding WHERE id = 5)"
            " WHERE id = %s",
            [OTHER_VECTOR],
        )
        connection.execute(
            "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
            " SELECT id, '{\"id\": 99}', 1, 'truncated', '', 1 FROM imgvec.collection"
        )
        connection.execute(
            "INSERT INTO imgvec.job (collection_id, version, keys, attempts, token, lease_until)"
            " SELECT id, 1, '[{\"id\": 5}]'::jsonb, 1, gen_random_uuid(), now() - interval '10 minutes' FROM imgvec.collection"
            " UNION ALL SELECT id, 1, '[{\"id\": 98}]', 0, NULL, NULL FROM imgvec.collection"
            " UNION ALL SELECT id + 1000, 1, '[{\"id\": 1}]', 0, NULL, NULL FROM imgvec.collection"
        )
    connection.execute("DROP TRIGGER imgvec_photo_grid_update ON photo")


def state(connection: Connection) -> list[Any]:
    """Return all that a repair could touch."""
    return [
        connection.execute(statement).fetchall()
        for statement in (
            "SELECT id, version, embedding::text FROM imgvec.photo_grid_embedding ORDER BY id",
            "SELECT id, keys, version, token FROM imgvec.job ORDER BY id",
            "SELECT key, version FROM imgvec.failure ORDER BY key",
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'photo'::regclass ORDER BY 1",
        )
    ]


EXPECTED = {
    "missing": 1,
    "changed": 1,
    "changed_bytes": 2,
    "changed_failure": 1,
    "unreadable": 1,
    "orphan": 1,
    "orphan_failure": 1,
    "bad_vector": 1,
    "different_vector": 1,
    "stuck": 1,
    "queued_without_row": 1,
    "without_triggers": 1,
}


def test_a_filled_collection_is_in_step_and_its_failure_no_difference(
    filled: Path, verify: Verify, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = verify("--contents", "--sample", "100")
    assert (code, kinds(report), report["is_in_step"]) == (0, {}, True)
    counted = [report[name] for name in ("source_rows", "embedded", "queued", "failed", "pictures_read")]
    assert counted == [ROWS + 1, ROWS, 0, 1, ROWS // 2 + ROWS]
    assert run(cli, ["verify", "--dsn", database]) == 0
    assert capsys.readouterr().out == (
        f"{NAME}: in step; 15 rows of public.photo, 14 embedded, 0 queued, 1 failed\n"
    )


def test_every_kind_of_difference_is_found_and_mended(
    connection: Connection,
    database: str,
    plugin_environment: dict[str, str],
    filled: Path,
    verify: Verify,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(connection, filled)
    before = state(connection)
    code, report = verify("--contents", "--sample", "100")
    assert (code, kinds(report)) == (4, EXPECTED)
    assert state(connection) == before
    assert {found["kind"]: found["examples"] for found in report["differences"]}["missing"] == [
        {"id": MISSING}
    ]
    # Without reading the pictures, what only they tell is not found.
    code, report = verify()
    assert kinds(report) == {
        kind: rows
        for kind, rows in EXPECTED.items()
        if kind not in ("changed_bytes", "unreadable", "different_vector")
    }
    assert run(cli, ["verify", "--dsn", database]) == 4
    said = capsys.readouterr().out
    assert "NOT in step" in said and f"fix it with: imgvec verify {NAME} --repair" in said
    assert "1 jobs and failures belong to no collection any more" in said

    code, report = verify("--contents", "--sample", "100", "--repair")
    assert (code, report["remaining"]) == (4, ["unreadable", "stuck"])
    assert report["enqueued"] == 7
    fill(database, plugin_environment)  # a worker takes the stuck job over
    change_picture(connection, filled, GONE_FILE, random.Random(5))
    fill(database, plugin_environment)
    code, report = verify("--contents", "--sample", "100")
    assert (code, kinds(report)) == (0, {})
    problems = check(connection, filled).problems
    problems.pop("of a wrong version", None)  # versions are counted by triggers, which this test went behind
    problems.pop("written again or backward", None)
    assert problems == {"missing": [CLEARED]}  # it has no picture
    assert run(cli, ["verify", "--dsn", database]) == 0


def test_pictures_behind_urls_are_left_alone(connection: Connection, filled: Path, verify: Verify) -> None:
    with connection.transaction():
        connection.execute(WITHOUT_TRIGGERS)
        connection.execute("UPDATE photo SET path = 'https://pictures.example/2.png' WHERE id = 2")
        connection.execute("UPDATE imgvec.photo_grid_embedding SET reference_hash = NULL WHERE id = 2")
    code, report = verify("--contents", "--sample", "100")
    assert (code, kinds(report), report["pictures_read"]) == (0, {}, ROWS // 2 - 1 + ROWS - 1)


def elsewhere(collection: str) -> Callable[[str], bytes] | None:
    """Be named by IMGVEC_FETCH: the files are in the folder that IMGVEC_TEST_ELSEWHERE names."""
    return lambda path: Path(os.environ["IMGVEC_TEST_ELSEWHERE"], path).read_bytes()


def test_pictures_that_only_the_application_can_read_are_read_by_it(
    connection: Connection, filled: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = filled.rename(filled.with_name("elsewhere"))
    connection.execute("UPDATE imgvec.collection SET root = NULL")
    monkeypatch.setenv("IMGVEC_FETCH", f"{__name__}:elsewhere")
    monkeypatch.setenv("IMGVEC_TEST_ELSEWHERE", str(away))
    code, report = verify("--contents", "--sample", "100")
    assert (code, kinds(report), report["pictures_read"]) == (0, {}, ROWS // 2 + ROWS)
    (away / f"{FILE}.png").write_bytes(b"another")
    assert kinds(verify("--contents")[1]) == {"changed_bytes": 1}
    (away / f"{FILE}.png").unlink()
    assert kinds(verify("--contents")[1]) == {"unreadable": 1}


def test_another_model_is_refused_and_not_recorded(
    connection: Connection, filled: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.execute("UPDATE imgvec.model SET fingerprint = 'another'")
    assert run(cli, ["verify", NAME, "--sample", "3", "--dsn", database, "--device", "cpu"]) == 1
    assert "are not those that collection" in capsys.readouterr().err
    assert connection.execute("SELECT fingerprint FROM imgvec.model").fetchall() == [("another",)]


def test_a_folder_that_is_away_is_said_and_no_row_is_called_lost(
    filled: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.rename(filled.with_name("unmounted"))
    assert run(cli, ["verify", NAME, "--contents", "--repair", "--dsn", database]) == 1
    assert "is not on this machine; mount it, or say where it is with --root DIR" in capsys.readouterr().err


def test_changes_that_go_on_are_no_differences(
    connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path
) -> None:
    make_table(connection, tmp_path, 60, model="color-grid")
    collection = get_collection(connection, NAME)
    done = threading.Event()

    def change() -> None:
        draw = random.Random(2)
        with connect(database) as application:
            while not done.is_set():
                change_picture(application, tmp_path, draw.randrange(1, 61), draw)
                number = draw.randrange(100, 140)
                application.execute("DELETE FROM photo WHERE id = %s", [number])
                application.execute(
                    "INSERT INTO photo (id, content) VALUES (%s, %s)", [number, random_picture(draw)]
                )
                done.wait(0.01)

    thread = threading.Thread(target=change)
    with running(database, plugin_environment, tmp_path, "worker", NAME, "--device", "cpu") as worker:
        wait_until(lambda: "is ready" in worker.text(), "the worker")
        thread.start()
        try:
            embedded = []
            for _ in range(25):
                found = verify_collection(connection, collection)
                assert found.is_in_step, found.differences
                embedded.append(found.queued)
        finally:
            done.set()
            thread.join()
        assert any(embedded), "nothing was queued meanwhile"
        wait_until(lambda: not queued_keys(connection), "the queue to be empty")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DROP TABLE other CASCADE", "no longer exists; run: imgvec collection drop aaa"),
        ("ALTER TABLE other DROP COLUMN path", 'has no column "path"'),
        ("DROP TABLE imgvec.aaa_embedding CASCADE", "does not exist"),
    ],
    ids=["source gone", "column gone", "embeddings gone"],
)
def test_a_collection_that_cannot_be_verified_holds_up_no_other(
    database: str,
    connection: Connection,
    filled: Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
    told: str,
) -> None:
    connection.execute("CREATE TABLE other (id int PRIMARY KEY, path text)")
    create = ["collection", "create", "aaa", "--source", "other", "--image", "path", "--root", str(filled)]
    assert run(cli, [*create, "--model", "color-grid", "--dsn", database]) == 0
    connection.execute(damage)  # type: ignore[arg-type]
    capsys.readouterr()
    assert run(cli, ["verify", "--dsn", database]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("aaa: NOT verified; ") and told in lines[0]
    assert lines[1].startswith(f"{NAME}: in step")
    assert run(cli, ["verify", "--json", "--repair", "--dsn", database]) == 4
    first, second = json.loads(capsys.readouterr().out)
    assert told in first["problem"] and not first["is_in_step"]
    assert second["problem"] is None and second["is_in_step"]
    assert run(cli, ["verify", "aaa", "--dsn", database]) == 1
    captured = capsys.readouterr()
    assert told in captured.err and captured.out == "" and captured.err.count("\n") == 1
