"""What a worker's process does with its own priority, and what it is held back by unless told otherwise."""

import json
import os
import subprocess
import sys

import pytest
from click import Command

from imgvec_pg.cli.backfill.priority import AUTOGROUP
from imgvec_pg.cli.commands.backfill import backfill
from imgvec_pg.cli.commands.worker import worker
from imgvec_pg.cli.throttle_options import AUTO, WORKER_NICE, WORKER_SHARE_PERCENT, Percent, share_of

TELL = """
import json, os, subprocess, sys
from pathlib import Path
from imgvec_pg.cli.backfill.priority import AUTOGROUP, lower_priority
lower_priority(int(sys.argv[1]))
child = subprocess.run(["nice"], capture_output=True, text=True, check=True).stdout
group = AUTOGROUP.read_text().split()[-1] if AUTOGROUP.exists() else None
print(json.dumps([os.nice(0), int(child), group and int(group), os.environ.get("OMP_WAIT_POLICY")]))
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


def autogroup_nice() -> int | None:
    """Return the nice value of this session; None where there is no such thing."""
    return int(AUTOGROUP.read_text().split()[-1]) if AUTOGROUP.exists() else None


def test_a_process_that_leads_its_session_lowers_both_and_its_children_follow() -> None:
    own = os.nice(0)
    lowered = max(own, 10)
    # A new session begins at 0, where sessions are weighed at all.
    weighed = None if autogroup_nice() is None else 10
    assert told(10, leads_session=True) == (lowered, lowered, weighed, "PASSIVE")


def test_the_session_of_a_terminal_is_left_alone() -> None:
    before = autogroup_nice()
    lowered = max(os.nice(0), 10)
    assert told(10, leads_session=False) == (lowered, lowered, before, "PASSIVE")
    assert autogroup_nice() == before


def test_a_lower_priority_stays_and_zero_changes_nothing() -> None:
    already = min(os.nice(0) + 15, 19)
    assert told(10, leads_session=False, before=15)[:2] == (already, already)
    none = None if autogroup_nice() is None else 0
    assert told(0, leads_session=True) == (os.nice(0), os.nice(0), none, None)


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
