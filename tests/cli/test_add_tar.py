"""The built-in library over tars: listed, listed again, pruned, replaced, filled by workers and by Ray, verified."""

import json
import os
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from imgvec_test_embedder import NAME
from requires import requires
from tar_files import png, sample, special, write_tar
from workers import imgvec

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.images.fetching.folders import walk_files
from imgvec_pg.store.library.image_library import Added, add_files


def color(number: int) -> tuple[int, int, int]:
    return (number * 37 % 256, number * 11 % 256, number % 256)


def write_shard(folder: Path, number: int, samples: int = 3) -> Path:
    """Write a shard as img2dataset does; no picture is like another."""
    first = number * samples
    members = [member for n in range(first, first + samples) for member in sample(n, png(color(n)))]
    return write_tar(folder / f"{number:05d}.tar", members)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for number in range(2):
        write_shard(tmp_path / "shards", number)
    return tmp_path / "shards"


def add(connection: Connection, *paths: Path) -> Added:
    return add_files(connection, walk_files(paths))


def rows(connection: Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT uri, id FROM imgvec.image ORDER BY uri").fetchall())


def count(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_pictures_are_rows_and_a_second_time_only_headers_are_read(
    connection: Connection,
    database: str,
    shards: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(cli, ["add", str(shards), "--dsn", database]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "6 pictures added, 0 updated, 0 known already (left out: 12 other files)"
    assert list(rows(connection)) == [
        f"{shards}/{number:05d}.tar/{n:09d}.png"
        for number in range(2)
        for n in range(number * 3, number * 3 + 3)
    ]
    monkeypatch.setattr("imgvec_pg.store.library.image_library.fetch_bytes", None)
    again = add(connection, shards)
    assert (again.known, again.added, again.not_images, again.failed) == (6, 0, 12, [])
    one = add(connection, shards / "00001.tar")
    assert (one.known, one.looked_at) == (3, 9)


def test_prune_and_forget_take_a_tar_for_a_folder(
    connection: Connection, database: str, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shard(shards, 2)
    add(connection, shards)
    (shards / "00000.tar").unlink()
    command = ["add", str(shards), "--dsn", database]
    assert run(cli, command) == 0
    assert "3 known files deleted meanwhile; --prune forgets them" in capsys.readouterr().out
    assert run(cli, [*command, "--prune"]) == 0
    assert "3 pictures forgotten, whose files were deleted" in capsys.readouterr().out
    assert len(rows(connection)) == 6
    # One of a tar's members is gone: pruned by the folder, or by the tar alone.
    members = [member for n in (3, 4) for member in sample(n, png(color(n)))]
    write_tar(shards / "00001.tar", members)
    assert run(cli, ["library", "list", "--gone", "--dsn", database]) == 0
    assert capsys.readouterr().out == f"{shards}/00001.tar/000000005.png\n"
    assert run(cli, ["add", str(shards / "00001.tar"), "--prune", "--dsn", database]) == 0
    assert "1 picture forgotten" in capsys.readouterr().out
    forget = ["library", "forget", "--dsn", database, "--yes"]
    assert run(cli, [*forget, str(shards / "00002.tar" / "000000006.png")]) == 0
    assert run(cli, [*forget, str(shards / "00001.tar")]) == 0
    assert set(rows(connection)) == {f"{shards}/00002.tar/{n:09d}.png" for n in (7, 8)}
    # All of a tar's pictures: it may be another disk's.
    write_tar(shards / "00002.tar", sample(9, png("white")))
    assert run(cli, ["add", str(shards / "00002.tar"), "--prune", "--dsn", database]) == 0
    assert len(rows(connection)) == 1


def test_a_folder_of_tars_that_is_not_mounted_empties_nothing(
    connection: Connection, database: str, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(shards / "disk" / "9.tar", [("a.png", png("white"))])
    add(connection, shards)
    (shards / "disk" / "9.tar").unlink()
    assert run(cli, ["add", str(shards), "--prune", "--dsn", database]) == 0
    assert f"1 known file kept, whose folder is gone or empty and may not be mounted ({shards}/disk)" in (
        capsys.readouterr().out
    )
    for number in range(2):
        (shards / f"{number:05d}.tar").rename(shards.parent / f"{number}.away")
    assert run(cli, ["add", str(shards), "--prune", "--dsn", database]) == 1
    assert "nothing was forgotten" in capsys.readouterr().err
    assert len(rows(connection)) == 7


def test_a_truncated_tar_gives_what_is_whole_and_forgets_nothing(
    connection: Connection, database: str, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(connection, shards)
    path = shards / "00001.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        third = tar.getmember("000000005.png").offset_data
    path.write_bytes(whole[: third + 10])
    assert run(cli, ["add", str(shards), "--prune", "--dsn", database]) == 4
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("0 pictures added, 0 updated, 5 known already")
    assert said.err.splitlines() == [
        f"not added: {path}: it breaks off in the member that begins at byte {third - 512:,}: fetch it again; its 6 whole "
        "members were taken"
    ]
    assert len(rows(connection)) == 6
    path.write_bytes(whole)
    assert add(connection, shards).known == 6


def test_a_picture_keeps_its_row_from_a_folder_into_a_tar_and_out_of_it(
    connection: Connection, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_bytes(png("red"))
    (folder / "b.png").write_bytes(png("blue"))
    add(connection, folder)
    before = set(rows(connection).values())
    write_tar(folder / "0.tar", [(name, (folder / name).read_bytes()) for name in ("a.png", "b.png")])
    for name in ("a.png", "b.png"):
        (folder / name).unlink()
    packed = add(connection, folder)
    assert (packed.moved, packed.added) == (2, 0)
    (folder / "0.tar").rename(folder / "1.tar")
    assert add(connection, folder).moved == 2
    write_tar(folder / "1.tar", [("only/a.png", png("red")), ("new.png", png("green"))])
    again = add(connection, folder)
    assert (again.moved, again.added) == (1, 1)
    assert rows(connection)[f"{folder}/1.tar/only/a.png"] in before


def test_hostile_and_odd_members_are_named_safely(
    connection: Connection,
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMGVEC_MAX_BYTES", "3000")
    path = write_tar(
        tmp_path / "0.tar",
        [
            ("../up.png", png("red")),
            ("/etc/root.png", png("blue")),
            ("new\nline.png", png("green")),
            ("damaged.png", b"no picture"),
            ("large.png", png("cyan") + bytes(4000)),
            (os.fsdecode(b"caf\xe9.png"), png("white")),
            special("link.png", tarfile.SYMTYPE, "/etc/passwd"),
        ],
        form=tarfile.GNU_FORMAT,
    )
    assert run(cli, ["add", str(tmp_path), "--dsn", database]) == 4
    said = capsys.readouterr()
    assert (
        said.out.splitlines()[0] == "3 pictures added, 0 updated, 0 known already (left out: 1 symbolic link)"
    )
    assert set(rows(connection)) == {f"{path}/{name}" for name in ("up.png", "etc/root.png", "new\nline.png")}
    told = {
        line.partition(": ")[2].partition(": ")[0].rpartition("/")[2]: line for line in said.err.splitlines()
    }
    assert set(told) == {"damaged.png", "large.png", "caf\\xe9.png"}
    assert "at most 3000 are read" in told["large.png"] and "UTF-8" in told["caf\\xe9.png"]
    assert run(cli, ["library", "list", "--dsn", database]) == 0
    assert "new\\nline.png" in capsys.readouterr().out


def create_collection(database: str, environment: dict[str, str]) -> None:
    made = imgvec(database, environment, "collection", "create", "photos", "--library", "--model", NAME)
    assert made.returncode == 0, made.stderr


def test_two_workers_fill_from_tars_and_verify_reads_them(
    connection: Connection, database: str, plugin_environment: dict[str, str], shards: Path
) -> None:
    for number in range(2, 12):
        write_shard(shards, number, samples=20)
    create_collection(database, plugin_environment)
    expected = len([item for item in walk_files([shards]) if item.path.endswith(".png")])
    assert imgvec(database, plugin_environment, "add", str(shards)).returncode == 0
    filled = imgvec(database, plugin_environment, "backfill", "photos", "--workers", "2", "--json")
    assert filled.returncode == 0, filled.stderr
    assert json.loads(filled.stdout)["embedded"] == count(connection, "imgvec.photos_embedding") == expected
    verified = imgvec(database, plugin_environment, "verify", "photos", "--contents")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    path = shards / "00003.tar"
    write_tar(path, sample(60, png("white")))  # the pixels of one have changed, 19 are gone
    verified = imgvec(database, plugin_environment, "verify", "photos", "--contents", "--json")
    assert verified.returncode == 4, verified.stdout + verified.stderr
    assert imgvec(database, plugin_environment, "add", str(shards), "--prune").returncode == 0
    assert imgvec(database, plugin_environment, "backfill", "photos").returncode == 0
    assert count(connection, "imgvec.photos_embedding") == expected - 19
    assert imgvec(database, plugin_environment, "verify", "photos", "--contents").returncode == 0
    found = imgvec(
        database,
        plugin_environment,
        "search",
        "--collection",
        "photos",
        "--image",
        str(path / "000000060.png"),
        "-k",
        "1",
    )
    assert found.returncode == 0 and "00003.tar/000000060.png" in found.stdout, found.stderr
    missing = imgvec(
        database, plugin_environment, "search", "--collection", "photos", "--image", str(path / "no.png")
    )
    assert missing.returncode == 2 and "does not exist" in missing.stderr and missing.stderr.count("\n") == 1


@requires("ray")
def test_ray_fills_from_tars(
    connection: Connection, database: str, plugin_environment: dict[str, str], shards: Path
) -> None:
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    }
    create_collection(database, plugin_environment)
    add(connection, shards)
    environment = {**plugin_environment, **quiet}
    filled = imgvec(database, environment, "backfill", "photos", "--engine", "ray", "--actors", "2")
    assert filled.returncode == 0, filled.stderr
    assert count(connection, "imgvec.photos_embedding") == 6


@pytest.mark.skipif(find_spec("webdataset") is None, reason="webdataset is not installed")
@pytest.mark.filterwarnings("ignore")
def test_shards_that_webdataset_writes_are_read(connection: Connection, tmp_path: Path) -> None:
    import webdataset

    with webdataset.ShardWriter(str(tmp_path / "%05d.tar"), maxcount=4, verbose=0) as writer:
        for number in range(10):
            writer.write(
                {"__key__": f"{number:06d}", "png": png(color(number)), "json": {"n": number}, "txt": "words"}
            )
    added = add(connection, tmp_path)
    assert (added.added, added.not_images, added.failed) == (10, 20, [])
    assert f"{tmp_path}/00002.tar/000009.png" in rows(connection)
