"""`make chaos` in small: a minute of killed, stopped and cut off workers, and a server that crashes.

How soon work goes on is measured there; here only what becomes of the rows counts.
"""

import random
from pathlib import Path

from own import MakeServer
from storm import Plan, Storm, show
from workers import seed_of_this_run


def test_each_row_is_current_after_a_minute_of_faults(
    make_server: MakeServer, plugin_environment: dict[str, str], tmp_path: Path
) -> None:
    root, logs = tmp_path / "photos", tmp_path / "logs"
    root.mkdir()
    logs.mkdir()
    seed = seed_of_this_run()
    print(f"IMGVEC_TEST_SEED={seed}")
    plan = Plan(rows=800, kills=6, stops=1, terminations=6, crashes=1, lease_seconds=2.0)
    own = make_server()
    report = Storm(own.server, own.dsn, root, logs, plugin_environment, plan, random.Random(seed)).run()
    print(show(report))
    assert sum(report.faults.values()) == 14
    assert report.amiss == []
