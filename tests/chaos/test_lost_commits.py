"""A worker whose lease, and the change that it saw, went with the primary: the promoted standby takes no result of it."""

import random
import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest
from imgvec_faulty_embedder import FaultyGrid
from mutants import NO_LEASE_CHECK, without_guard
from promotion import cut_off_standby, promote
from standby import await_replay, connect_soon, run_primary_and_standby
from workers import NAME, change_picture, check, make_table

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection, connect, vector_schema
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, Outcome, Written
from imgvec_pg.store.queue.jobs import Claim, claim_jobs
from imgvec_pg.store.registry import get_collection

DRAW = random.Random(7)


def embed(root: Path, dsn: str) -> None:
    Worker(dsn, NAME, FaultyGrid(), PipelineOptions(root=root)).run()


def store_at(connection: Connection) -> EmbeddingStore:
    return EmbeddingStore(connection, get_collection(connection, NAME), vector_schema(connection))


def embed_what_is_there(store: EmbeddingStore, claim: Claim, root: Path) -> list[Outcome]:
    outcomes = []
    for job in claim.jobs:
        images = store.read_images(job.keys)
        pictures = [image.content or (root / str(image.path)).read_bytes() for image in images]
        vectors = FaultyGrid().embed_images([decode_image(data) for data in pictures])
        done = [
            EmbeddedKey(key, job.version, vector, b"hash")
            for key, vector in zip(job.keys, vectors, strict=True)
        ]
        outcomes.append(Outcome(job.id, embedded=done))
    return outcomes


def write_after_promotion(root: Path) -> tuple[Written, str]:
    """Write what was claimed and read behind the last commit that the standby got, once that is promoted.

    Returns:
        What that wrote; and what is amiss when the promoted server's queue is worked off.
    """
    with ExitStack() as stack:
        primary, standby_dsn = stack.enter_context(run_primary_and_standby())
        before = stack.enter_context(connect(primary.dsn()))
        upgrade(before)
        make_table(before, root, 6)
        embed(root, primary.dsn())
        change_picture(before, root, 1, DRAW)
        with connect_soon(standby_dsn) as standby:
            await_replay(before, standby)
        sender = cut_off_standby(primary)
        # From here on all is lost: the picture, the lease, the second job.
        change_picture(before, root, 1, DRAW)
        collection = get_collection(before, NAME)
        claim = claim_jobs(before, collection.id, uuid.uuid4(), 64, lease_seconds=60)
        assert len(claim.jobs) == 2
        outcomes = embed_what_is_there(store_at(before), claim, root)
        promote(primary, standby_dsn, sender)
        after = stack.enter_context(connect(standby_dsn))
        written = store_at(after).write(claim.token, outcomes, "fp32")
        embed(root, standby_dsn)
        return written, str(check(after, root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def test_a_result_under_a_lease_that_was_lost_with_the_primary_is_dropped(root: Path) -> None:
    written, amiss = write_after_promotion(root)
    assert (written.embedded, written.lost_jobs) == (0, 2)
    assert amiss == "each row has one current embedding"


def test_without_the_check_of_the_lease_it_would_be_stale_for_ever(root: Path, tmp_path: Path) -> None:
    with without_guard(NO_LEASE_CHECK, tmp_path):
        written, amiss = write_after_promotion(root)
    assert written.embedded == 1
    assert "stale" in amiss
