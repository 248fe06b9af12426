"""A table full of bad pictures: each ends with its own code, its neighbours are embedded, and nothing is lost."""

from pathlib import Path

import psycopg
import pytest
from bad_images import (
    EMBEDDED,
    BadPicture,
    contents,
    decode_bomb,
    files,
    gif_of_many_frames,
    photograph,
    urls,
)
from imgvec_faulty_embedder import load
from imgvec_test_embedder import DIMENSIONS
from webserver import web_server

from imgvec_pg.backfill import pipeline
from imgvec_pg.backfill.batch import retry, slow_hosts
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.images.decoding import decoder_process, sandbox
from imgvec_pg.images.decoding.sandbox import DecodingPool
from imgvec_pg.images.fetching import host_backoff, http_client, url
from imgvec_pg.images.fetching.host_backoff import HostCircuitBreakers
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.spec import CollectionSpec

NAME = "bad"
GOOD_ROWS = 70


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for tenths of seconds where users wait for seconds, and allow the server of the test."""
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.1/32")
    monkeypatch.setattr(retry, "FIRST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(host_backoff, "FIRST_COOL_DOWN_SECONDS", 0.1)
    monkeypatch.setattr(pipeline, "LATE_SECONDS", 0.1)
    monkeypatch.setattr(decoder_process, "decode_cpu_seconds", lambda: 1)
    monkeypatch.setattr(
        url, "download", lambda *allowed: http_client.download(*allowed[:3], 4 * 1024**2, seconds=2.0)
    )
    monkeypatch.setattr(url, "breakers", HostCircuitBreakers())


def make_rows(connection: Connection, rows: list[BadPicture], root: Path, prefixes: list[str]) -> None:
    """Make the table with a collection over it; good pictures lie between the bad ones."""
    connection.execute(
        "CREATE TABLE bad (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text, path text, content bytea)"
    )
    insert = "INSERT INTO bad (name, path, content) VALUES (%s, %s, %s)"
    for number in range(max(len(rows), GOOD_ROWS)):
        connection.execute(insert, [None, None, photograph()])
        if number < len(rows):
            connection.execute(insert, [rows[number].name, rows[number].path, rows[number].content])
    request = CollectionSpec(
        name=NAME,
        source="bad",
        image=["path", "content"],
        model="faulty-grid",
        dimensions=DIMENSIONS,
        has_text=True,
        root=str(root),
        url_prefixes=prefixes,
    )
    list_source(connection, create_collection(connection, request))


def test_each_bad_picture_ends_with_its_code_and_its_neighbours_are_embedded(
    database: str,
    connection: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pool = DecodingPool(2)
    monkeypatch.setattr(sandbox, "_pool", pool)
    root = tmp_path / "photos"
    with web_server(photograph()) as server:
        rows = [*contents(decode_bomb()), *files(root), *urls(server.url)]
        two = BadPicture("two pictures", "two_images", path="a.png", content=photograph())
        rows.append(two)
        assert len({row.name for row in rows}) == len(rows) > 50
        make_rows(connection, rows, root, [server.url, "http://*"])
        Worker(database, NAME, load(), PipelineOptions(lease_seconds=30)).run()
    pool.close()
    failed = {
        name: (code, attempts, message)
        for name, code, attempts, message in connection.execute(
            "SELECT b.name, f.code, f.attempts, f.message FROM imgvec.failure AS f"
            " JOIN bad AS b ON b.id = (f.key ->> 'id')::int"
        )
    }
    wanted = {row.name: (row.code, row.attempts) for row in rows if row.code != EMBEDDED}
    # Embedded, and noted: its 10,000 frames are red.
    assert failed.pop("GIF of 10,000 frames") == ("blank", 0, "every pixel is #ff0000")
    assert {name: found[:2] for name, found in failed.items()} == wanted
    for name, (_, _, message) in failed.items():
        assert message.isprintable() and 10 < len(message) < 400, (name, message)
        assert "secret" not in message
    embedded = connection.execute(
        "SELECT b.name FROM imgvec.bad_embedding JOIN bad AS b USING (id)"
    ).fetchall()
    assert sorted(name for (name,) in embedded if name) == sorted(
        row.name for row in rows if row.code == EMBEDDED
    )
    assert sum(name is None for (name,) in embedded) == max(len(rows), GOOD_ROWS)
    assert connection.execute("SELECT count(*) FROM imgvec.job").fetchone() == (0,)
    assert run(cli, ["failures", NAME, "--limit", "1000", "--dsn", database]) == 0
    listed = capsys.readouterr().out
    assert all(code in listed for code, _ in wanted.values())


def test_the_first_frame_of_a_long_animation_is_embedded(connection: Connection) -> None:
    assert sandbox.decode_sandboxed(gif_of_many_frames(10_000)).getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("uri", "content"), [(None, None), ("a.jpg", b"a"), (None, b"")], ids=["none", "two", "empty"]
)
def test_the_library_takes_exactly_one_picture_a_row(
    scratch: Connection, uri: str | None, content: bytes | None
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), scratch.transaction():
        scratch.execute(
            "INSERT INTO imgvec.image (uri, content, media_type, width, height, content_hash)"
            " VALUES (%s, %s, 'image/png', 1, 1, sha256(''))",
            [uri, content],
        )


def test_a_host_that_is_silent_holds_up_no_other_for_long(
    database: str, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the rows are of a host that never answers; all others must not wait for more than its first batch."""
    monkeypatch.setattr(url, "download", lambda *arguments: http_client.download(*arguments, seconds=200.0))
    monkeypatch.setattr(slow_hosts, "LATE_SECONDS", 0.5)
    with web_server(photograph()) as silent, web_server(photograph()) as lively:
        rows = [
            BadPicture(
                f"{place}",
                "",
                path=f"{lively.url}/picture?{place}" if place % 2 else f"{silent.url}/silent/{place}",
            )
            for place in range(60)
        ]
        make_rows(connection, rows, tmp_path, [silent.url, lively.url])
        worker = Worker(database, NAME, load(), PipelineOptions(batch_size=16, follow=True))
        seconds: list[float] = []

        def look(stats: object) -> None:
            done = connection.execute(
                "SELECT count(*) FROM imgvec.bad_embedding JOIN bad AS b USING (id)"
                " WHERE b.path IS NULL OR b.path LIKE '%%picture%%'"
            ).fetchone()
            if done == (GOOD_ROWS + 30,):
                seconds.append(worker.stats.seconds())
                silent.stop.set()
                worker.request_stop()

        worker.on_progress = look
        worker.run()
    assert seconds and seconds[0] < 150, "200 s is what one look at the silent host may take"
    charged = connection.execute("SELECT count(*) FROM imgvec.failure").fetchone()
    waiting = connection.execute("SELECT count(*) FROM imgvec.job, jsonb_array_elements(keys)").fetchone()
    assert (charged, waiting) == ((0,), (30,)), "the silent host's pictures wait, at no attempt's cost"
