"""A worker whose model computes other numbers than at its first use writes nothing."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from imgvec_test_embedder import ColorGrid, Float32Array
from workers import imgvec, random_picture

from imgvec_pg.backfill.model_check import check_model
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ModelError
from imgvec_pg.search import query_client
from imgvec_pg.search.operations.classify import embed_texts
from imgvec_pg.search.query_embedding import ModelOptions, ask_with_image, ask_with_words
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.model_registry import find_models
from imgvec_pg.store.spec import CollectionSpec


def make_collection(connection: Connection, name: str, model: str, dimensions: int) -> Collection:
    request = CollectionSpec(
        name=name, source="photo", image=["content"], model=model,
        dimensions=dimensions, has_text=True,
    )  # fmt: skip
    made = create_collection(connection, request)
    list_source(connection, made)
    return made


@pytest.fixture
def photo(connection: Connection) -> Connection:
    connection.execute("CREATE TABLE photo (id integer PRIMARY KEY, content bytea)")
    draw = random.Random(2)
    for number in range(5):
        connection.execute("INSERT INTO photo VALUES (%s, %s)", [number, random_picture(draw)])
    return connection


def test_a_worker_with_other_numbers_refuses_to_write(
    photo: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    make_collection(photo, "lines", "color-lines", 27)
    unknown = imgvec(database, plugin_environment, "model", "verify")
    assert unknown.returncode == 0
    assert "color-lines: unknown; not used yet" in unknown.stdout
    assert imgvec(database, plugin_environment, "backfill", "lines", "--limit", "2").returncode == 0
    good = imgvec(database, plugin_environment, "model", "verify", "color-lines")
    assert (good.returncode, good.stdout) == (
        0,
        "color-lines: same; cosine of pictures 1.000000 in fp32\n",
    )
    broken = {**plugin_environment, "IMGVEC_TEST_SHIFT": "200"}
    following = imgvec(database, broken, "worker", "lines")
    assert (following.returncode, "is ready" in following.stderr) == (1, False)
    refused = imgvec(database, broken, "backfill", "lines")
    assert refused.returncode == 1
    assert "computes other vectors here than at its first use (cosine 0." in refused.stderr
    assert photo.execute("SELECT count(*) FROM imgvec.lines_embedding").fetchone() == (2,)
    assert photo.execute("SELECT count(*) FROM imgvec.failure").fetchone() == (0,)
    assert photo.execute("SELECT count(*) FROM imgvec.job WHERE token IS NOT NULL").fetchone() == (0,)
    differs = imgvec(database, broken, "model", "verify", "--json")
    assert differs.returncode == 1
    (told,) = json.loads(differs.stdout)
    assert told["ok"] is False
    assert 0 < told["image_cosine"] < 0.999
    assert imgvec(database, plugin_environment, "backfill", "lines").returncode == 0


def test_golden_vectors_of_pictures_and_texts_are_stored_once(photo: Connection) -> None:
    collection = make_collection(photo, "emoji", "demo", 256)
    embedder = load_embedder("demo", device="cpu", precision="fp32")
    check_model(photo, collection, embedder)
    (recorded,) = find_models(photo)
    assert (recorded.golden_count, recorded.collections) == (6, ["emoji"])
    assert recorded.weights_sha256 is not None
    assert len(recorded.weights_sha256) == 64
    # bf16 is near enough; other texts are not.
    check_model(photo, collection, load_embedder("demo", device="cpu", precision="bf16"))
    assert find_models(photo)[0].golden_count == 6
    photo.execute(
        "UPDATE imgvec.golden_vector AS g SET embedding = o.embedding FROM imgvec.golden_vector AS o"
        " WHERE g.kind = 'text' AND o.kind = 'text' AND o.position = (g.position + 1) % 3"
    )
    with pytest.raises(ModelError, match="computes other vectors here"):
        check_model(photo, collection, embedder)


def test_a_query_by_a_model_with_other_numbers_is_refused_and_not_cached(
    photo: Connection, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    collection = make_collection(photo, "emoji", "demo", 256)
    embedder = load_embedder("demo", device="cpu", precision="fp32")
    check_model(photo, collection, embedder)
    monkeypatch.setattr(query_client, "_models", {})
    file = tmp_path / "red.png"
    file.write_bytes(random_picture(random.Random(3)))

    def by_words() -> None:
        ask_with_words(photo, collection, "red", ModelOptions())

    def by_labels() -> None:
        embed_texts(photo, collection, ["red"], ModelOptions())

    def by_words_of_an_application() -> None:
        query_client.vector_of_words(photo, collection, "red")

    def by_picture() -> None:
        ask_with_image(photo, collection, file, ModelOptions())

    def by_picture_of_an_application() -> None:
        query_client.vector_of_image(photo, collection, file.read_bytes())

    words, pictures = (
        (by_words, by_labels, by_words_of_an_application),
        (by_picture, by_picture_of_an_application),
    )
    for ask in pictures:
        ask()
    for kind, refused, allowed in (("text", words, pictures), ("image", pictures, ())):
        # Another order: as if this process computed other numbers.
        photo.execute(
            "UPDATE imgvec.golden_vector AS g SET embedding = o.embedding FROM imgvec.golden_vector AS o"
            " WHERE g.kind = %(kind)s AND o.kind = %(kind)s AND o.position = (g.position + 1) %% 3",
            {"kind": kind},
        )
        for ask in refused:
            with pytest.raises(ModelError, match="computes other vectors here than at its first use"):
                ask()
        for ask in allowed:
            ask()
    assert photo.execute("SELECT count(*) FROM imgvec.text_embedding").fetchone() == (0,)


def test_a_model_whose_vectors_have_another_norm_never_begins(photo: Connection) -> None:
    class Longer(ColorGrid):
        fingerprint = "10" * 32

        def embed_prepared(self, prepared: Sequence[Float32Array]) -> Float32Array:
            return super().embed_prepared(prepared) * np.float32(1.01)

    collection = make_collection(photo, "long", "color-grid", 12)
    with pytest.raises(ModelError, match=r"gives image vectors of norm 1\.01, expected 1"):
        check_model(photo, collection, Longer())
    assert find_models(photo)[0].golden_count == 0
