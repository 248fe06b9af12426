"""`imgvec backfill --profile`: shares of the stages and a bottleneck that follows from them, for several collections too."""

import random
import re
from dataclasses import replace

import pytest
from workers import imgvec, random_picture

from imgvec_pg.backfill.stats import CLAIM, EMBED, READ, WRITE, WorkerStats
from imgvec_pg.cli.backfill.fill_profile import FillProfile
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.spec import CollectionSpec


def ended() -> WorkerStats:
    """Stats of a run of 10 s, 4 of them the model's."""
    stats = WorkerStats(embedded=100, computed=50, connected_at=5.0, ended_at=15.0)
    for stage, seconds in {CLAIM: 0.5, READ: 0.5, EMBED: 4.0, WRITE: 1.0}.items():
        stats.stages.add(stage, seconds)
    stats.pictures.fetching, stats.pictures.decoding = 4.0, 32.0
    return stats


def test_shares_are_of_the_threads_that_a_stage_may_use() -> None:
    made = FillProfile.of(ended(), 4, has_urls=False)
    shares = (made.reading, made.fetching, made.decoding, made.model, made.writing)
    assert shares == pytest.approx((0.1, 0.1, 0.8, 0.4, 0.1))
    assert made.model_seconds == pytest.approx(0.08)
    lines = made.lines("shoes", "demo")
    assert len(lines) == 5
    assert lines[2] == "  fetch  10%, decode  80% of 4 threads"
    assert "bottleneck: decoding; what would help: more CPUs" in lines[4]
    # Hosts are asked by threads of their own.
    assert FillProfile.of(ended(), 4, has_urls=True).loader_threads == 16


@pytest.mark.parametrize(
    ("busy", "told"),
    [
        ({"model": 0.95}, "bottleneck: the model; what would help: another runtime"),
        ({"fetching": 0.9}, "bottleneck: fetching"),
        ({"reading": 0.9}, "bottleneck: reading rows"),
        ({"writing": 0.9}, "bottleneck: writing"),
        ({"model": 0.3}, "no stage was busy for half of the time"),
    ],
)
def test_the_busiest_stage_is_the_bottleneck(busy: dict[str, float], told: str) -> None:
    idle = replace(
        FillProfile.of(ended(), 4, has_urls=False),
        reading=0.0,
        fetching=0.0,
        decoding=0.0,
        model=0.1,
        writing=0.0,
    )
    assert replace(idle, **busy).bottleneck("demo").startswith(told)


def test_each_of_several_collections_has_a_profile_and_decoding_counts_once(
    connection: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    connection.execute("CREATE TABLE photo (id integer PRIMARY KEY, content bytea)")
    draw = random.Random(3)
    for number in range(5):
        connection.execute("INSERT INTO photo VALUES (%s, %s)", [number, random_picture(draw)])
    for name, model, dimensions in (("lines", "color-lines", 27), ("cells", "color-grid", 12)):
        spec = CollectionSpec(name, "photo", ["content"], model, dimensions, True)
        list_source(connection, create_collection(connection, spec))
    told = imgvec(database, plugin_environment, "backfill", "--collections", "lines,cells", "--profile")
    assert told.returncode == 0
    headings = re.findall(r"^(\w+): busy shares of \S+ s of work, 5 rows", told.stderr, re.MULTILINE)
    assert headings == ["lines", "cells"]
    shares = [int(share) for share in re.findall(r"(\d+)%", told.stderr)]
    assert len(shares) == 10
    assert all(0 <= share <= 100 for share in shares)


def test_several_processes_are_refused(database: str, plugin_environment: dict[str, str]) -> None:
    refused = imgvec(database, plugin_environment, "backfill", "lines", "--profile", "--workers", "2")
    assert refused.returncode == 2
    assert "--profile looks into one process: leave out --workers and --engine" in refused.stderr
