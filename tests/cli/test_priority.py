"""What a worker's process does with its own priority, and what it is held back by unless told otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click import Command

from imgvec_pg.cli.backfill import priority
from imgvec_pg.cli.backfill.priority import session_nice
from imgvec_pg.cli.commands.backfill import backfill
from imgvec_pg.cli.commands.worker import worker
from imgvec_pg.cli.throttle_options import AUTO, WORKER_NICE, WORKER_SHARE_PERCENT, Percent, share_of

TELL = """
import json, os, subprocess, sys
from pathlib import Path
from imgvec_pg.cli.backfill import priority
from imgvec_pg.cli.backfill.priority import lower_priority, session_nice
lower_priority(int(sys.argv[1]))
child = subprocess.run(["nice"], capture_output=True, text=True, check=True).stdout
print(json.dumps([os.nice(0), int(child), session_nice(), os.environ.get("OMP_WAIT_POLICY")]))
"""


def told(nice: int, *, leads_session: bool, before: int = 0) -> tuple[int, int, int | None, str | None]:
    """Return nice value, a child's, the session's and how OpenMP's threads wait after lower_priority()."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    # `nice` runs the process in its own stead, so that the leader of the session is the process itself.
    command = ["nice", "-n", str(before), sys.executable, "-c", TELL, str(nice)]
    ran = subprocess.run(
        command, env=environment, start_new_session=leads_session, capture_output=True, text=True, check=True
    )
    one, child, group, waiting = json.loads(ran.stdout)
    return one, child, group, waiting


def of_a_new_session() -> int | None:
    """Return what a session that has just begun has: the session of these tests may be weighed differently.

    A container's first session has no weight of its own where the sessions begun in it have one.
    """
    asked = "from imgvec_pg.cli.backfill.priority import session_nice; print(session_nice())"
    ran = subprocess.run(
        [sys.executable, "-c", asked], start_new_session=True, capture_output=True, text=True, check=True
    )
    return None if ran.stdout.strip() == "None" else int(ran.stdout)


@pytest.mark.parametrize(
    ("text", "weighed"),
    [
        ("/autogroup-42 nice 0\n", 0),
        ("/autogroup-7 nice -5\n", -5),
        ("/autogroup-7 nice 19\n", 19),
        ("", None),
    ],
    ids=["new", "raised", "lowered", "a session without a group of its own"],
)
def test_how_a_session_is_weighed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, weighed: int | None
) -> None:
    (tmp_path / "autogroup").write_text(text)
    monkeypatch.setattr(priority, "AUTOGROUP", tmp_path / "autogroup")
    assert session_nice() == weighed
    monkeypatch.setattr(priority, "AUTOGROUP", tmp_path / "missing")
    assert session_nice() is None


@pytest.mark.parametrize(("text", "left"), [("", ""), ("/autogroup-7 nice 12\n", "/autogroup-7 nice 12\n")])
def test_a_session_that_is_not_weighed_or_weighs_less_already_is_left_alone(
    tmp_path: Path, text: str, left: str
) -> None:
    (tmp_path / "autogroup").write_text(text)
    lower = TELL.replace(
        "lower_priority(", f"priority.AUTOGROUP = Path({str(tmp_path / 'autogroup')!r}); lower_priority("
    )
    ran = subprocess.run(
        [sys.executable, "-c", lower, "10"],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout)[1] == max(os.nice(0), 10)
    assert (tmp_path / "autogroup").read_text() == left


def test_a_process_that_leads_its_session_lowers_both_and_its_children_follow() -> None:
    lowered = max(os.nice(0), 10)
    weighed = None if of_a_new_session() is None else 10
    assert told(10, leads_session=True) == (lowered, lowered, weighed, "PASSIVE")


def test_the_session_of_a_terminal_is_left_alone() -> None:
    before = session_nice()
    lowered = max(os.nice(0), 10)
    assert told(10, leads_session=False) == (lowered, lowered, before, "PASSIVE")
    assert session_nice() == before


def test_a_lower_priority_stays_and_zero_changes_nothing() -> None:
    already = min(os.nice(0) + 15, 19)
    assert told(10, leads_session=False, before=15)[:2] == (already, already)
    assert told(0, leads_session=True) == (os.nice(0), os.nice(0), of_a_new_session(), None)


@pytest.mark.parametrize(
    ("command", "share", "nice"),
    [(worker, AUTO, WORKER_NICE), (backfill, None, None)],
    ids=["worker", "backfill"],
)
def test_a_worker_holds_back_and_a_backfill_does_not(
    command: Command, share: Percent, nice: int | None
) -> None:
    params = command.make_context(command.name, ["product_clip"]).params
    assert (params["server_share_percent"], params.get("nice")) == (share, nice)


def test_a_share_is_divided_and_all_of_the_time_is_no_bound() -> None:
    assert (share_of(None), share_of(100), share_of(100, 4)) == (None, None, None)
    assert share_of(AUTO) == WORKER_SHARE_PERCENT / 100
    assert share_of(2) == pytest.approx(0.02)
    assert share_of(2, 4) == pytest.approx(0.005)
