"""The write protocol holds under every interleaving that was drawn, and without any one guard it does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test
from mutants import MUTANTS, Mutant, first_caught, sql_from
from protocol import Arena, Protocol

from imgvec_pg.store.writing.new_rows import FEWEST_ROWS

# A run that fails is told as the steps to repeat it, so what is drawn need not be the same each time.
COMMON = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    verbosity=Verbosity.quiet,
)


@pytest.fixture
def arena(database: str) -> Iterator[Arena]:
    made = Arena.make(database)
    yield made
    made.close()


def machine_over(arena: Arena) -> type[Protocol]:
    return type("Protocol", (Protocol,), {"arena": arena})


@pytest.mark.parametrize("fewest", [FEWEST_ROWS, 1], ids=["upserted", "new rows copied"])
def test_each_row_is_embedded_queued_or_failed_whatever_happens(
    arena: Arena, fewest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgvec_pg.store.writing.new_rows.FEWEST_ROWS", fewest)
    run_state_machine_as_test(
        machine_over(arena), settings=settings(COMMON, max_examples=60, stateful_step_count=40)
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_missing_guard_is_caught(arena: Arena, mutant: Mutant, tmp_path: Path) -> None:
    # The same draws each time: they catch it, and do not only most likely.
    with sql_from(mutant.write(tmp_path)):
        caught = first_caught(machine_over(arena), mutant, COMMON)
    assert caught is not None
    assert "row" in caught or "lost lease" in caught
