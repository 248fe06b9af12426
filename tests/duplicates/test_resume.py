"""A comparison that was killed goes on where it was, and finds what one that began anew would."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photostore import make_photos

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.duplicates import resume
from imgvec_pg.duplicates.checkpoint import Checkpoint, digests, places_of
from imgvec_pg.duplicates.find_duplicates import checkpoint_path
from imgvec_pg.duplicates.pairs import Pairs, TooManyPairsError, find_pairs
from imgvec_pg.duplicates.plan import COORDINATE_BYTES
from imgvec_pg.duplicates.resume import Resumed, find_pairs_again
from imgvec_pg.duplicates.vector_rows import VectorRows

Halves = npt.NDArray[np.float16]
State = dict[bytes, Halves]


class KilledError(Exception):
    """Stands for a signal."""


def as_rows(state: State) -> VectorRows:
    keys = sorted(state)
    vectors = np.array([state[key] for key in keys], dtype=np.float16).reshape(len(keys), -1)
    versions = np.ones(len(keys), dtype=np.int64)
    return VectorRows(vectors, keys, versions, [b""] * len(keys), versions, COORDINATE_BYTES)


def picture(random: np.random.Generator, state: State) -> Halves:
    """A vector of its own, another's with noise, or (rarely) one without a direction."""
    kind = random.integers(20)
    vector = random.normal(size=16)
    if kind == 0:
        return np.zeros(16, np.float16)
    if kind < 12 and state:
        vector = state[sorted(state)[random.integers(len(state))]] + 0.05 * vector
    return (vector / max(float(np.linalg.norm(vector)), 1e-6)).astype(np.float16)


def change(random: np.random.Generator, state: State, changes: int) -> None:
    """Add, embed anew and delete."""
    for _ in range(changes):
        key = b'{"id": %d}' % random.integers(400)
        if key in state and random.integers(3) == 0:
            del state[key]
        else:
            state[key] = picture(random, state)


def search(
    rows: VectorRows, checkpoint: Checkpoint, kill_after: int | None = None, max_pairs: int = 5_000_000
) -> tuple[Pairs, list[Resumed]]:
    """Run until so many cells are done, or to the end."""
    told: list[Resumed] = []
    cells = 0

    def progress(done: int, total: int) -> None:
        nonlocal cells
        cells += 1
        if kill_after is not None and cells > kill_after:
            raise KilledError

    found = find_pairs_again(
        rows, 0.95, checkpoint, max_pairs=max_pairs, progress=progress, resumed=told.append
    )
    checkpoint.remove()
    return found, told


def same(found: Pairs, expected: Pairs) -> bool:
    return (
        found.first.tolist() == expected.first.tolist()
        and found.second.tolist() == expected.second.tolist()
        and found.similarities.tolist() == expected.similarities.tolist()
        and found.skipped == expected.skipped
    )


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write from the first cell on."""
    monkeypatch.setattr(resume, "WRITTEN_AFTER_SECONDS", 0.0)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    runs=st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([0, 1, 10, 40, 150]), st.integers(0, 200)), max_size=4
    ),
)
def test_after_any_kills_and_changes_the_pairs_are_those_of_one_moment(
    seed: int, runs: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    random, state = np.random.default_rng(seed), State()
    change(random, state, 300)
    path = tmp_path_factory.mktemp("run") / "folder" / "checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "WRITTEN_AFTER_SECONDS", 0.0)
        for kill_after, changes, torn_bytes in runs:
            try:
                found, _ = search(as_rows(state), Checkpoint(path, 0.95), kill_after)
                assert same(found, find_pairs(as_rows(state).vectors, 0.95)) and not path.exists()
            except KilledError:
                assert path.stat().st_mode & 0o077 == 0
                if torn_bytes % 3:
                    # A machine that went down: what was written last is not there, or zeros.
                    size = path.stat().st_size
                    os.truncate(path, max(0, size - torn_bytes))
                    if torn_bytes % 3 == 2:
                        os.truncate(path, size)
            change(random, state, changes)
        found, _ = search(as_rows(state), Checkpoint(path, 0.95))
    assert same(found, find_pairs(as_rows(state).vectors, 0.95))
    assert not path.exists()


@pytest.mark.usefixtures("at_once")
def test_a_run_goes_on_where_it_was_and_compares_what_changed_with_all(tmp_path: Path) -> None:
    random, state = np.random.default_rng(4), State()
    change(random, state, 900)
    path = tmp_path / "checkpoint"
    with pytest.raises(KilledError):
        search(as_rows(state), Checkpoint(path, 0.95), kill_after=8)
    done = Checkpoint(path, 0.95).read()
    assert done is not None and len(done.known) == len(state)
    key = sorted(state)[0]
    finished = {as_rows(state).keys[number] for number in done.finished}
    kept = next(iter(finished - {key}))
    # New, and a pair with a row that was finished without it.
    state[b'{"id": 1000}'] = state[kept]
    del state[next(iter(finished - {key, kept}))]
    found, told = search(as_rows(state), Checkpoint(path, 0.95))
    assert told == [Resumed(len(done.finished) - 1, 1)]
    names = as_rows(state).keys
    assert any(
        {names[a], names[b]} == {kept, b'{"id": 1000}'}
        for a, b in zip(found.first, found.second, strict=True)
    )
    assert same(found, find_pairs(as_rows(state).vectors, 0.95))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kill_after", [0, 2, 8])
def test_rows_that_were_away_while_others_were_finished_are_compared_when_they_are_back(
    tmp_path: Path, kill_after: int
) -> None:
    random, state = np.random.default_rng(11), State()
    change(random, state, 900)
    path = tmp_path / "checkpoint"
    some = {key: vector for number, (key, vector) in enumerate(sorted(state.items())) if number % 8}
    for present in (state, some):
        with pytest.raises(KilledError):
            search(as_rows(present), Checkpoint(path, 0.95), kill_after)
    found, told = search(as_rows(state), Checkpoint(path, 0.95))
    assert told and same(found, find_pairs(as_rows(state).vectors, 0.95))


@pytest.mark.usefixtures("at_once")
def test_a_file_of_another_threshold_or_of_other_rows_is_not_used(tmp_path: Path) -> None:
    random, state = np.random.default_rng(6), State()
    change(random, state, 300)
    path = tmp_path / "checkpoint"
    with pytest.raises(KilledError):
        search(as_rows(state), Checkpoint(path, 0.95), kill_after=6)
    assert Checkpoint(path, 0.9).read() is None
    others = {b"other " + key: vector for key, vector in state.items()}
    found, told = search(as_rows(others), Checkpoint(path, 0.95))
    assert told == [] and same(found, find_pairs(as_rows(others).vectors, 0.95))
    path.write_bytes(b"something else")
    assert search(as_rows(state), Checkpoint(path, 0.95))[1] == []


@pytest.mark.usefixtures("at_once")
def test_pairs_found_before_the_kill_count_for_the_most_there_may_be(tmp_path: Path) -> None:
    random, state = np.random.default_rng(7), State()
    change(random, state, 600)
    path = tmp_path / "checkpoint"
    expected = len(find_pairs(as_rows(state).vectors, 0.95).first)
    with pytest.raises(KilledError):
        search(as_rows(state), Checkpoint(path, 0.95), kill_after=12)
    done = Checkpoint(path, 0.95).read()
    assert done is not None and 0 < len(done.pairs[0]) < expected
    with pytest.raises(TooManyPairsError, match=f"expected at most {expected - 1:,}"):
        search(as_rows(state), Checkpoint(path, 0.95), max_pairs=expected - 1)
    assert len(search(as_rows(state), Checkpoint(path, 0.95), max_pairs=expected)[0].first) == expected


@pytest.mark.usefixtures("at_once")
def test_where_no_file_can_be_written_the_run_goes_on_without(tmp_path: Path) -> None:
    random, state = np.random.default_rng(8), State()
    change(random, state, 200)
    (tmp_path / "file").write_bytes(b"")
    found, _ = search(as_rows(state), Checkpoint(tmp_path / "file" / "checkpoint", 0.95))
    assert same(found, find_pairs(as_rows(state).vectors, 0.95))


def test_a_short_run_leaves_no_file(tmp_path: Path) -> None:
    random, state = np.random.default_rng(9), State()
    change(random, state, 200)
    with pytest.raises(KilledError):
        search(as_rows(state), Checkpoint(tmp_path / "folder" / "checkpoint", 0.95), kill_after=4)
    assert list(tmp_path.iterdir()) == []


def test_what_is_appended_behind_a_torn_record_can_be_read(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint", 0.95)
    known = digests([b"1", b"2", b"3"], np.eye(3, dtype=np.float16), np.arange(3))
    checkpoint.begin()
    checkpoint.append(known, np.arange(0))
    checkpoint.append(known[:0], np.array([1]))
    checkpoint.append(known[:0], np.array([0, 2]))
    checkpoint.close()
    os.truncate(checkpoint.path, checkpoint.path.stat().st_size - 3)
    torn = checkpoint.read()
    assert torn is not None and torn.finished.tolist() == [1]
    checkpoint.begin(torn.whole_bytes)
    checkpoint.append(known[:0], np.array([2]))
    checkpoint.close()
    again = checkpoint.read()
    assert again is not None and again.finished.tolist() == [1, 2] and len(again.known) == 3


def test_digests_tell_rows_by_key_and_vector() -> None:
    vectors = np.eye(3, dtype=np.float16)
    rows = np.arange(3)
    one = digests([b"1", b"2", b"3"], vectors, rows)
    other = digests([b"2", b"1", b"3"], vectors, rows)
    assert places_of(one, one).tolist() == [0, 1, 2]
    assert places_of(other, one).tolist() == [-1, -1, 2]
    assert places_of(one, one[:0]).tolist() == [-1, -1, -1]
    # Two that share the first half of their bits: unknown, or right, never the other.
    shared = one.copy()
    shared[:, 0] = 7
    assert all(place in (-1, row) for row, place in enumerate(places_of(shared, shared).tolist()))


KILLED = """
import os, signal, sys
from imgvec_pg.cli.commands.queries import duplicates
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.duplicates import find_duplicates, resume

resume.WRITTEN_AFTER_SECONDS = 0.0
whole = find_duplicates.find_pairs_again

def until_half(rows, threshold, checkpoint, *, progress, **options):
    def kill(done, total):
        if done > total / 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return whole(rows, threshold, checkpoint, progress=kill, **options)

find_duplicates.find_pairs_again = until_half
sys.exit(run(cli, ["duplicates", "photo_test", "--threshold", "0.9999999"]))
"""


def test_a_killed_command_goes_on_and_says_so(
    connection: Connection,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    collection = make_photos(connection, rows=6000)
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT i, ARRAY[cos(a) * cos(a / 9), sin(a) * cos(a / 9), sin(a / 9)]::real[]::vector::halfvec, 1,"
        " sha256(i::text::bytea), 'fp32'"
        " FROM generate_series(1, 6000) AS i, LATERAL (SELECT (i / 2) * 0.002 AS a)"
    )
    monkeypatch.setenv("IMGVEC_DSN", database)
    monkeypatch.setenv("IMGVEC_HOME", str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    path = checkpoint_path(connection, collection)
    assert path.parent == tmp_path / "duplicates" and path.exists()
    # Meanwhile rows go, and come.
    connection.execute("DELETE FROM shop.photo WHERE id IN (1, 2, 3000)")
    arguments = ["duplicates", "photo_test", "--threshold", "0.9999999"]
    assert run(cli, arguments) == 0
    said = capsys.readouterr()
    assert "going on where a run that was stopped has been: " in said.err and "0 new or changed" in said.err
    assert not path.exists()
    found = connection.execute(
        "SELECT id, other_id FROM imgvec.duplicate_photo_test ORDER BY 1, 2"
    ).fetchall()
    assert run(cli, [*arguments, "--restart"]) == 0
    assert capsys.readouterr().err == ""
    again = connection.execute(
        "SELECT id, other_id FROM imgvec.duplicate_photo_test ORDER BY 1, 2"
    ).fetchall()
    assert found == again and len(found) > 2000
