import io
import json
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from imgvec_test_embedder import DIMENSIONS, NAME
from PIL import Image as Picture
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from workers import imgvec

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.images.fetching.folders import walk_files
from imgvec_pg.images.fetching.found_files import FoundFile, SymbolicLink, Unreadable
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.library.image_library import add_files
from imgvec_pg.store.schema import Image, ImageEmbedding
from imgvec_pg.store.spec import CollectionSpec


def save(path: Path, color: str = "red", size: tuple[int, int] = (40, 30), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.new("RGB", size, color).save(path, **options)  # type: ignore[arg-type]
    return path


def rows(connection: Connection, columns: str = "uri, media_type, width, height") -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT {columns} FROM imgvec.image ORDER BY uri").fetchall()


def watch_library(connection: Connection) -> None:
    create_collection(
        connection,
        CollectionSpec(
            name="photos",
            source="imgvec.image",
            image=("uri", "content"),
            model=NAME,
            dimensions=DIMENSIONS,
            has_text=True,
            root="/",
            watch=("content_hash",),
        ),
    )


def jobs(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM imgvec.job").fetchone()
    assert row is not None
    return int(row[0])


def test_folders_are_walked_to_the_bottom(connection: Connection, tmp_path: Path) -> None:
    save(tmp_path / "a.png", size=(40, 30))
    save(tmp_path / "deep" / "er" / "b.jpg", size=(20, 25))
    (tmp_path / "notes.txt").write_text("no picture at all")
    save(tmp_path / ".hidden" / "c.png")
    save(tmp_path / ".d.png")
    added = add_files(connection, walk_files([tmp_path]))
    assert (added.added, added.not_images, added.failed) == (2, 1, [])
    assert rows(connection) == [
        (str(tmp_path / "a.png"), "image/png", 40, 30),
        (str(tmp_path / "deep/er/b.jpg"), "image/jpeg", 20, 25),
    ]


def test_the_time_a_picture_was_taken_comes_from_exif(connection: Connection, tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:07:04 10:20:30"
    save(tmp_path / "a.jpg", exif=exif)
    add_files(connection, walk_files([tmp_path]))
    assert rows(connection, "taken_at") == [(datetime(2021, 7, 4, 10, 20, 30, tzinfo=UTC),)]


def test_known_files_are_not_read_again(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png")
    add_files(connection, walk_files([tmp_path]))
    monkeypatch.setattr("imgvec_pg.store.library.image_library.fetch_bytes", None)
    again = add_files(connection, walk_files([tmp_path]))
    assert (again.added, again.known, again.failed) == (0, 1, [])


def test_a_file_is_enqueued_when_it_came_or_changed_and_not_when_it_was_touched(
    connection: Connection, tmp_path: Path
) -> None:
    watch_library(connection)
    path = save(tmp_path / "a.png")
    add_files(connection, walk_files([path]))
    assert jobs(connection) == 1
    os.utime(path, ns=(1, 1))
    touched = add_files(connection, walk_files([path]))
    assert (touched.known, touched.updated, jobs(connection)) == (1, 0, 1)
    connection.execute('UPDATE imgvec.image SET attributes = attributes || \'{"album": "sea"}\'')
    save(path, "blue", (50, 20))
    changed = add_files(connection, walk_files([path]))
    assert (changed.updated, jobs(connection)) == (1, 2)
    assert rows(connection, "width, attributes ->> 'album'") == [(50, "sea")]


def test_a_file_named_twice_is_added_once(connection: Connection, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    assert add_files(connection, walk_files([tmp_path, path, path])).added == 1


def test_symbolic_links_are_followed_only_where_they_are_named(tmp_path: Path) -> None:
    outside = save(tmp_path / "outside" / "a.png")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.png").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    assert list(walk_files([folder])) == [
        SymbolicLink(str(folder / "link.png")),
        SymbolicLink(str(folder / "up")),
    ]
    named = list(walk_files([folder / "link.png"]))
    assert [item.path for item in named if isinstance(item, FoundFile)] == [str(outside)]


def test_files_that_cannot_be_added_are_named(connection: Connection, tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:20])
    text = tmp_path / "text.txt"
    text.write_text("no picture")
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).write_bytes(whole.read_bytes())
    added = add_files(connection, walk_files([tmp_path, text, tmp_path / "pipe", tmp_path / "gone"]))
    assert added.added == 1
    assert {(Path(f.path).name, f.code) for f in added.failed} == {
        ("empty.jpg", "empty"),
        ("cut.png", "truncated"),
        ("text.txt", "unidentified"),
        ("pipe", "not_regular_file"),
        ("caf\\xe9.png", "name_not_utf8"),
        ("gone", "unreadable"),
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_locked_folder_is_reported(tmp_path: Path) -> None:
    save(tmp_path / "locked" / "a.png")
    (tmp_path / "locked").chmod(0)
    assert list(walk_files([tmp_path])) == [Unreadable(str(tmp_path / "locked"), "Permission denied")]
    (tmp_path / "locked").chmod(0o755)


def test_a_vanished_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    walk = walk_files([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "a").rmdir()
    assert [item.path for item in walk if isinstance(item, Unreadable)] == [
        str(tmp_path / "a"),
        str(tmp_path / "b"),
    ]


def test_batches_commit_alone(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgvec_pg.store.library.image_library.FILES_PER_TRANSACTION", 2)
    for number in range(5):
        save(tmp_path / f"{number}.png")
    seen: list[int] = []

    def stop_after_two(done: object) -> None:
        seen.append(len(rows(connection)))
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_files(connection, walk_files([tmp_path]), stop_after_two)
    assert seen == [2, 4]
    again = add_files(connection, walk_files([tmp_path]))
    assert (again.known, again.added) == (4, 1)


def test_add_says_what_it_did_and_what_comes_next(
    connection: Connection, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.png")
    assert run(cli, ["add", str(tmp_path), "--dsn", database]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 picture added, 0 updated, 0 known already"
    assert "imgvec collection create image --library --model" in lines[1]
    watch_library(connection)
    for number in range(7):
        (tmp_path / f"{number}.jpg").touch()
    assert run(cli, ["add", str(tmp_path), "--dsn", database]) == 4
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1] == "embed what is new with: imgvec backfill photos"
    assert len(captured.err.splitlines()) == 6
    assert captured.err.splitlines()[0] == (
        f"not added: {tmp_path / '0.jpg'}: has 0 bytes, an encoded image was expected: replace it"
    )
    assert captured.err.splitlines()[-1] == "not added: 2 more files; --json lists them all"
    assert run(cli, ["add", str(tmp_path), "--dsn", database, "--json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert (answer["known"], len(answer["failed"]), answer["failed"][0]["code"]) == (1, 7, "empty")


@pytest.mark.skipif(
    os.environ.get("IMGVEC_TEST_SETTINGS") == "odd",
    reason="the application's own session: psycopg reads no timestamptz in another DateStyle",
)
def test_the_commands_that_add_suggests_lead_to_a_search_with_the_ready_classes(
    connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path
) -> None:
    for color in ("red", "yellow", "cyan"):
        save(tmp_path / f"{color}.png", color)
    hint = imgvec(database, plugin_environment, "add", str(tmp_path)).stdout.splitlines()[-1]
    create = shlex.split(hint.split("imgvec ", 1)[1].replace("ViT-B-32/laion2b_s34b_b79k", NAME))
    made = imgvec(database, plugin_environment, *create)
    assert made.returncode == 0, made.stderr
    backfill = shlex.split(made.stdout.splitlines()[-1].split("imgvec ")[-1])
    assert imgvec(database, plugin_environment, *backfill).returncode == 0
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database))
    with Session(engine) as session:
        red = session.scalars(
            select(ImageEmbedding).join(ImageEmbedding.image).where(Image.uri.endswith("red.png"))
        ).one()
        distance = ImageEmbedding.embedding.cosine_distance(red.embedding)
        found = session.execute(select(Image.uri, distance).join(ImageEmbedding).order_by(distance)).all()
    engine.dispose()
    assert [Path(uri).stem for uri, _ in found] == ["red", "yellow", "cyan"]
    assert [value for _, value in found] == pytest.approx([0, 2 / 3, 2], abs=2e-3)


def test_what_add_stores_is_what_a_worker_reads(connection: Connection, tmp_path: Path) -> None:
    path = save(tmp_path / "a b'\"\n☃.png")
    add_files(connection, walk_files([tmp_path]))
    uri = rows(connection, "uri")[0][0]
    assert uri == str(path)
    assert Picture.open(io.BytesIO(Path(str(uri)).read_bytes())).size == (40, 30)
