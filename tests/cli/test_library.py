"""The built-in library when files go, move, are damaged, or lie where systems put theirs."""

import io
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from imgvec_test_embedder import DIMENSIONS, NAME, ColorGrid
from PIL import Image as Picture
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.images.fetching.folders import walk_files
from imgvec_pg.images.fetching.gone_files import GoneFiles
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.library.image_library import Added, add_files
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.schema import Image
from imgvec_pg.store.spec import CollectionSpec

COLORS = ("red", "yellow", "cyan", "blue")


def save(path: Path, color: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.new("RGB", (8, 8), color).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for color in COLORS:
        save(tmp_path / "pictures" / f"{color}.png", color)
    return tmp_path / "pictures"


@pytest.fixture
def embedded(connection: Connection, database: str, folder: Path) -> Path:
    """Add the folder and embed it."""
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
    add_files(connection, walk_files([folder]))
    embed(database)
    assert len(embeddings(connection)) == 4
    return folder


def embed(database: str) -> int:
    return Worker(database, "photos", ColorGrid(), PipelineOptions()).run().embedded


def add(connection: Connection, *paths: Path) -> Added:
    return add_files(connection, walk_files(paths))


def embeddings(connection: Connection) -> dict[str, tuple[int, datetime]]:
    """Return path: id and time of embedding."""
    rows = connection.execute(
        "SELECT i.uri, i.id, e.embedded_at FROM imgvec.image AS i JOIN imgvec.photos_embedding AS e USING (id)"
    )
    return {uri: (row_id, embedded_at) for uri, row_id, embedded_at in rows}


def paths(connection: Connection) -> set[str]:
    return {uri for (uri,) in connection.execute("SELECT uri FROM imgvec.image")}


def jobs(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM imgvec.job").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "kind", ["renamed", "into another folder", "with its folder", "to another place named"]
)
def test_a_moved_picture_keeps_its_row_and_embedding(
    connection: Connection, embedded: Path, kind: str, tmp_path: Path
) -> None:
    before = embeddings(connection)
    old = embedded / "red.png"
    if kind == "renamed":
        new = old.rename(embedded / "a b'☃.png")
    elif kind == "into another folder":
        (embedded / "deep" / "er").mkdir(parents=True)
        new = old.rename(embedded / "deep" / "er" / "red.png")
    elif kind == "with its folder":
        embedded = embedded.rename(tmp_path / "pictures of 2019")
        new = embedded / "red.png"
    else:
        (tmp_path / "elsewhere").mkdir()
        new = old.rename(tmp_path / "elsewhere" / "red.png")
        embedded = new.parent
    added = add(connection, embedded)
    assert (added.added, added.moved) == (0, 4 if kind == "with its folder" else 1)
    after = embeddings(connection)
    assert after[str(new)] == before[str(old)]
    assert len(after) == 4
    assert jobs(connection) == 0
    collection = get_collection(connection, "photos")
    assert reconcile(connection, collection).enqueued == 0
    assert (add(connection, embedded).moved, add(connection, embedded).added) == (0, 0)


def test_a_copy_is_another_picture(connection: Connection, database: str, embedded: Path) -> None:
    shutil.copy(embedded / "red.png", embedded / "copy.png")
    added = add(connection, embedded)
    assert (added.added, added.moved) == (1, 0)
    assert embed(database) == 1


def test_of_two_equal_pictures_each_goes_to_the_file_of_its_name(
    connection: Connection, database: str, embedded: Path
) -> None:
    shutil.copy(embedded / "red.png", embedded / "blood.png")
    add(connection, embedded)
    embed(database)
    before = embeddings(connection)
    (embedded / "sub").mkdir()
    for name in ("red.png", "blood.png"):
        (embedded / name).rename(embedded / "sub" / name)
    assert add(connection, embedded).moved == 2
    after = embeddings(connection)
    for name in ("red.png", "blood.png"):
        assert after[str(embedded / "sub" / name)] == before[str(embedded / name)]


def test_a_picture_that_moved_before_it_was_embedded_or_after_it_failed_is_enqueued(
    connection: Connection, database: str, embedded: Path
) -> None:
    new = save(embedded / "new.png", "magenta")
    add(connection, embedded)
    new.rename(embedded / "newer.png")  # its job is still there, under the old path
    assert add(connection, embedded).moved == 1
    assert embed(database) == 1
    assert str(embedded / "newer.png") in embeddings(connection)
    # A row that failed, since its file was away, is tried again under its new path.
    lost = save(embedded / "lost.png", "white")
    add(connection, embedded)
    kept = lost.read_bytes()
    lost.write_bytes(b"damaged")
    assert embed(database) == 0
    lost.unlink()
    (embedded / "found.png").write_bytes(kept)
    assert add(connection, embedded).moved == 1
    assert embed(database) == 1


def test_changed_content_is_embedded_again(connection: Connection, database: str, embedded: Path) -> None:
    save(embedded / "red.png", "white")
    assert add(connection, embedded).updated == 1
    assert embed(database) == 1
    connection.execute("UPDATE imgvec.image SET content_hash = sha256('another') WHERE uri LIKE '%/red.png'")
    assert jobs(connection) == 1


def test_prune_forgets_files_that_were_deleted(
    connection: Connection, database: str, embedded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (embedded / "red.png").unlink()
    (embedded / "yellow.png").rename(embedded / "moved.png")
    command = ["add", str(embedded), "--dsn", database]
    assert run(cli, command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "0 pictures added, 0 updated, 1 moved, 2 known already",
        "1 known file deleted meanwhile; --prune forgets them",
    ]
    assert run(cli, [*command, "--prune"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "1 picture forgotten, whose files were deleted"
    assert {Path(path).name for path in embeddings(connection)} == {"moved.png", "cyan.png", "blue.png"}
    assert len(paths(connection)) == 3
    assert run(cli, [*command, "--prune"]) == 0
    assert "forgotten" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["all deleted", "the mount point is empty", "another disk is mounted"])
def test_prune_never_empties_a_folder_that_is_not_mounted(
    connection: Connection, database: str, folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add(connection, folder)
    shutil.rmtree(folder)
    folder.mkdir()
    if kind == "all deleted":
        (folder / "read me.txt").write_text("the disk is in the drawer")
    elif kind == "another disk is mounted":
        save(folder / "lost+found" / "red.png", "green")
    assert run(cli, ["add", str(folder), "--prune", "--dsn", database]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error == [
        f"imgvec: none of the 4 pictures that the library knows below {folder} is there, so it may not be mounted; nothing was "
        f"forgotten. If they were deleted: imgvec library forget {folder}"
    ]
    assert len(paths(connection)) == 4


@pytest.mark.parametrize("kind", ["empty", "gone"])
def test_prune_keeps_what_lies_in_a_folder_that_is_gone_or_empty(
    connection: Connection, database: str, folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mounted = save(folder / "disk" / "a.png", "white").parent
    add(connection, folder)
    (folder / "red.png").unlink()
    shutil.rmtree(mounted)
    if kind == "empty":
        mounted.mkdir()
    assert run(cli, ["add", str(folder), "--prune", "--dsn", database]) == 0
    said = capsys.readouterr().out
    assert "1 picture forgotten" in said and f"may not be mounted ({mounted})" in said
    assert {Path(path).name for path in paths(connection)} == {"a.png", "yellow.png", "cyan.png", "blue.png"}
    assert run(cli, ["library", "list", "--gone", "--dsn", database]) == 0
    assert capsys.readouterr().out == f"{mounted / 'a.png'}\n"
    assert run(cli, ["library", "forget", str(mounted), "--dsn", database, "--yes"]) == 0
    assert capsys.readouterr().out == "1 picture forgotten\n"
    assert len(paths(connection)) == 3


def test_prune_looks_at_the_folders_that_were_named_only_and_not_at_what_is_left_out(
    connection: Connection, database: str, folder: Path, tmp_path: Path
) -> None:
    other = save(tmp_path / "pictures2" / "b.png", "white")
    save(tmp_path / "pictures2" / "c.png", "black")
    add(connection, folder, other.parent)
    other.unlink()
    (folder / "red.png").unlink()
    assert run(cli, ["add", str(folder), "--prune", "--exclude", "blue.*", "--dsn", database]) == 0
    left = {Path(path).name for path in paths(connection)}
    assert left == {"yellow.png", "cyan.png", "blue.png", "b.png", "c.png"}


def test_a_file_that_cannot_be_looked_at_is_not_gone(tmp_path: Path) -> None:
    gone = GoneFiles()
    save(tmp_path / "a.png")
    assert not gone.is_deleted(str(tmp_path / ("x" * 300)))  # ENAMETOOLONG, as EIO of a failing disk
    assert gone.is_deleted(str(tmp_path / "b.png"))
    assert not gone.is_deleted(str(tmp_path / "a.png" / "b.png"))  # its folder is a file now
    assert gone.may_have_moved(str(tmp_path / "folder" / "b.png"))


def test_forget_takes_files_and_folders_and_asks(
    connection: Connection,
    database: str,
    embedded: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(embedded.parent / "pictures and more" / "a.png", "white")
    add(connection, embedded.parent)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(cli, ["library", "forget", str(embedded / "red.png"), "--dsn", database]) == 1
    assert "add --yes" in capsys.readouterr().err
    assert (
        run(cli, ["library", "forget", str(embedded), str(embedded), "--dsn", database, "--yes", "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out) == {"forgotten": 4}
    assert {Path(path).name for path in paths(connection)} == {"a.png"}
    assert not embeddings(connection)
    assert all((embedded / f"{color}.png").exists() for color in COLORS)
    assert run(cli, ["library", "forget", str(embedded), "--dsn", database, "--yes"]) == 1
    assert "knows no picture at or below" in capsys.readouterr().err


def test_forget_says_who_still_needs_a_picture(
    connection: Connection, database: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(connection, folder)
    connection.execute("CREATE TABLE album (image_id bigint REFERENCES imgvec.image)")
    connection.execute("INSERT INTO album SELECT id FROM imgvec.image LIMIT 1")
    assert run(cli, ["library", "forget", str(folder), "--dsn", database, "--yes"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "album" in error
    assert len(paths(connection)) == 4


def test_what_systems_put_beside_pictures_is_left_out(
    connection: Connection, database: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(folder / "@eaDir" / "red.png" / "SYNOPHOTO_THUMB_M.jpg")
    save(folder / "sub" / "@EADIR" / "a.jpg")
    save(folder / "#recycle" / "a.jpg")
    save(folder / "$RECYCLE.BIN" / "a.jpg")
    save(folder / "lost+found" / "a.jpg")
    save(folder / "Thumbs" / "a.jpg")
    save(folder / ".thumbnails" / "a.jpg")
    for name in ("Thumbs.db", "thumbs.db", ".DS_Store"):
        (folder / name).write_bytes(b"\xd0\xcf\x11\xe0")
    save(folder / "Thumbs of mine" / "white.png", "white")
    assert run(cli, ["add", str(folder), "--dsn", database]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "5 pictures added, 0 updated, 0 known already (left out: 2 hidden, 8 of the system such as @eaDir)"
    )
    # Whoever names such a folder means it.
    assert add(connection, folder / "#recycle", folder / ".thumbnails").added == 2


def test_exclude_takes_names_and_paths(
    connection: Connection, database: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(folder / "2019" / "private" / "a.png", "white")
    save(folder / "2020" / "private" / "b.png", "black")
    save(folder / "2020" / "screenshots" / "c.png", "green")
    globs = ("2019/private", "screen*", "[rc]*.png")
    options = [part for glob in globs for part in ("--exclude", glob)]
    assert run(cli, ["add", str(folder), *options, "--dsn", database]) == 0
    assert "4 by --exclude" in capsys.readouterr().out
    assert {Path(path).name for path in paths(connection)} == {"yellow.png", "blue.png", "b.png"}
    for bad in ("", "/", "/etc"):
        assert run(cli, ["add", str(folder), "--exclude", bad, "--dsn", database]) == 2
    assert "begins at the root" in capsys.readouterr().err


def test_a_damaged_picture_is_named_and_another_file_counted(
    connection: Connection, database: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("text.jpg", "TEXT.PNG", "text.webp", "text.heic"):
        (folder / name).write_text("bad picture")
    for name in ("note.txt", "film.mp4", "jpg"):
        (folder / name).write_text("no picture")
    assert run(cli, ["add", str(folder), "--dsn", database]) == 4
    said = capsys.readouterr()
    assert (
        said.out.splitlines()[0] == "4 pictures added, 0 updated, 0 known already (left out: 3 other files)"
    )
    named = said.err.splitlines()
    assert len(named) == 4
    assert named[0] == (
        f"not added: {folder / 'TEXT.PNG'}: bytes that begin b'bad pict' are no image: store one of "
        "JPEG, PNG, GIF, WEBP, AVIF"
    )


@pytest.mark.parametrize(
    "taken_at", ["4713-01-01 BC", "0001-01-01 00:00+02", "12000-01-01", "infinity", "-infinity"]
)
def test_a_time_that_python_cannot_hold_does_not_hide_the_library(
    connection: Connection, database: str, folder: Path, taken_at: str
) -> None:
    add(connection, folder)
    connection.execute(
        "UPDATE imgvec.image SET taken_at = '2021-07-04 10:20:30+00' WHERE uri LIKE '%/red.png'"
    )
    change = "UPDATE imgvec.image SET taken_at = %s::timestamptz WHERE uri LIKE '%%/blue.png'"
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(change, [taken_at])
    # As a database has it that was made before the check.
    connection.execute("ALTER TABLE imgvec.image DROP CONSTRAINT image_taken_at_is_readable")
    connection.execute(change, [taken_at])
    # psycopg reads times in the ISO style alone, whatever the table.
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database, options="-c DateStyle=ISO")
    )
    with Session(engine) as session:
        found = {Path(str(image.uri)).stem: image.taken_at for image in session.scalars(select(Image))}
        times = session.scalars(select(Image.taken_at).order_by(Image.taken_at)).all()
    engine.dispose()
    taken = datetime(2021, 7, 4, 10, 20, 30, tzinfo=UTC)
    assert found == {"red": taken, "yellow": None, "cyan": None, "blue": None}
    assert sorted(times, key=str) == [taken, None, None, None]
