"""What happens to other people's databases while workers are at it: each element alone, and without its guard.

`make chaos` has the same elements in storms of real processes.
"""

import random
from pathlib import Path

import pytest
from application import Scene
from fresh_databases import Server, fresh_database
from mutants import Mutant, without_guard
from pgbouncer import needs_pgbouncer
from squall import run_squall
from stages import NAMES, SEEN, stage
from workers import seed_of_this_run

ROWS = 60
# Of a mutant, which never does what is waited for: a machine that is too slow for it lets the test pass all the same.
MUTANT_PATIENCE_SECONDS = 8.0
MUTANT_TURNS = 3


def marked(name: str, *values: object) -> object:
    marks = [needs_pgbouncer()] if name == "pgbouncer" else []
    return pytest.param(name, *values, marks=marks, id="-".join(map(str, (name, *values))))


def scene_at(database: str, folder: Path, environment: dict[str, str], turn: int = 0) -> Scene:
    root = folder / "photos"
    root.mkdir(parents=True)
    seed = seed_of_this_run() + turn
    print(f"IMGVEC_TEST_SEED={seed}")
    return Scene(database, root, random.Random(seed), environment, ROWS)


@pytest.mark.parametrize("name", [marked(name) for name in NAMES])
def test_each_row_is_current_whatever_happens_to_the_database(
    name: str, database: str, tmp_path: Path, plugin_environment: dict[str, str]
) -> None:
    with stage(name, database=database) as at:
        scene = scene_at(at.database, tmp_path, plugin_environment)
        assert run_squall(scene, at.element) == []
        print(dict(scene.faults), dict(scene.changes), dict(scene.refused))
        assert scene.changes["picture"] > 10


@pytest.mark.parametrize(("name", "mutant"), [marked(name, mutant) for name, mutant in SEEN])
def test_a_missing_guard_is_seen(
    name: str,
    mutant: Mutant,
    server: Server,
    template: str,
    tmp_path: Path,
    plugin_environment: dict[str, str],
) -> None:
    # A squall meets what the guard is for by chance: a session that is lost meanwhile looks everything up anew.
    amiss: list[str] = []
    for turn in range(MUTANT_TURNS):
        folder = tmp_path / str(turn)
        with (
            fresh_database(server, template) as database,
            without_guard(mutant, folder) as changed,
            stage(name, MUTANT_PATIENCE_SECONDS, database) as at,
        ):
            scene = scene_at(at.database, folder, {**plugin_environment, **changed}, turn)
            try:
                amiss = run_squall(scene, at.element)
            except AssertionError as error:
                amiss = [str(error)]
        print(amiss)
        if amiss:
            return
    assert amiss
