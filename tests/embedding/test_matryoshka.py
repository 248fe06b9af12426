"""Models cut to fewer dimensions: by their name, everywhere the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from embedserver import FaultyServer, embedding_server
from PIL import Image

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.embedding.catalog import describe_known, describe_model
from imgvec_pg.embedding.embedder import SimpleEmbedder
from imgvec_pg.embedding.golden import golden_images
from imgvec_pg.embedding.load import check_loadable, is_loadable, load_embedder, load_variants
from imgvec_pg.embedding.matryoshka import (
    TRAINED_FOR,
    ShortenedEmbedder,
    Shortening,
    shorten,
    split_name,
    trained_dimensions,
    with_dimensions,
)
from imgvec_pg.embedding.weights import where_weights_are
from imgvec_pg.errors import ModelError, ModelNotFoundError


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.1")
    with embedding_server() as serving:
        yield serving


@pytest.mark.parametrize("name", ["test", "demo", "timm/resnet50.a1_in1k", "http:clip@http://h#query=a%20{}"])
def test_names_say_the_dimensions_and_give_them_back(name: str) -> None:
    cut = with_dimensions(name, 24, is_forced=False)
    assert cut in (f"{name}#dimensions=24", f"{name}&dimensions=24")
    assert split_name(cut) == Shortening(name, 24, is_forced=False)
    assert with_dimensions(cut, 12, is_forced=True) == cut.replace("dimensions=24", "truncate=12")
    assert split_name(name) is None


@pytest.mark.parametrize("number", ["", "0", "-3", "many", "1.5", "٣", "9999999"])
def test_dimensions_that_are_no_number_are_refused(number: str) -> None:
    with pytest.raises(ModelNotFoundError, match="expected a whole number, such as #dimensions=256"):
        describe_model(f"test#dimensions={number}")


def test_vectors_are_the_first_of_the_models_own_at_norm_1() -> None:
    whole = load_embedder("test")
    cut = load_embedder("test#truncate=24")
    assert cut.name == "test#truncate=24"
    assert cut.dimensions == 24
    for ours, theirs in (
        (cut.embed_images(golden_images()), whole.embed_images(golden_images())),
        (cut.embed_texts(["red", "white and blue"]), whole.embed_texts(["red", "white and blue"])),
    ):
        expected = theirs[:, :24] / np.linalg.norm(theirs[:, :24], axis=1, keepdims=True)
        np.testing.assert_allclose(ours, expected, atol=1e-6)
        assert ours.dtype == np.float32
    assert (cut.has_text, cut.logit_scale, cut.precision) == (
        whole.has_text,
        whole.logit_scale,
        whole.precision,
    )
    assert len({whole.fingerprint, cut.fingerprint, load_embedder("test#truncate=25").fingerprint}) == 3


def test_what_a_model_has_beyond_the_protocol_stays() -> None:
    cut, whole = load_embedder("demo#truncate=64", device="cpu"), load_embedder("demo", device="cpu")
    for name in ("first_resize", "weights_sha256"):
        assert getattr(cut, name) == getattr(whole, name)
    assert cut.text_length("a cat") == whole.text_length("a cat")  # type: ignore[attr-defined]
    assert not hasattr(load_embedder("test#truncate=24"), "first_resize")
    described = describe_model("demo#truncate=64")
    assert (described.dimensions, described.whole_dimensions) == (64, 256)
    assert where_weights_are(described) == where_weights_are(describe_model("demo"))
    variants = load_variants("demo#truncate=64", device="cpu")
    assert variants.embed(variants.variants[0], [variants.prepare(golden_images()[0])]).shape == (1, 64)


def test_known_dimensions_need_no_weights() -> None:
    known = describe_known("ViT-B-32/laion2b_s34b_b79k#truncate=128")
    assert known is not None
    assert (known.name, known.dimensions) == ("ViT-B-32/laion2b_s34b_b79k#truncate=128", 128)
    check_loadable("test#truncate=24")
    assert is_loadable("test#truncate=24")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "demo#dimensions=64",
            "is not known to have been trained to be cut to fewer than its 256 dimensions; .*demo#truncate=64",
        ),
        ("demo#truncate=256", "has 256 dimensions, asked for are 256; expected fewer, or none said"),
        ("demo#dimensions=300", "has 256 dimensions, asked for are 300"),
        ("nothing#truncate=3", "there is no model 'nothing'"),
    ],
)
def test_what_a_model_does_not_allow_is_refused(name: str, told: str) -> None:
    for use in (describe_model, load_embedder):
        with pytest.raises(ModelError, match=told) as caught:
            use(name)
        assert "\n" not in str(caught.value)


def test_trained_models_are_known_by_their_name_or_their_configuration() -> None:
    for name in ("transformers:jinaai/jina-clip-v2", "http:jinaai/jina-clip-v2@https://h/v1#query={}"):
        assert 256 in trained_dimensions(name, ())[0]
    assert trained_dimensions("transformers:org/own", (16, 32)) == ((16, 32), "its own configuration")
    assert trained_dimensions("ViT-B-32/openai", ()) == ((), "")
    for _, dimensions, source in TRAINED_FOR:
        assert list(dimensions) == sorted(dimensions)
        assert source

    class Whole(SimpleEmbedder):
        name, dimensions, fingerprint = "transformers:jinaai/jina-clip-v2", 1024, "1"

    assert ShortenedEmbedder(Whole(), Shortening(Whole.name, 256, is_forced=False)).dimensions == 256
    with pytest.raises(
        ModelError, match=r"was trained to be cut to 32, 64, 128, 256, 512, 768 dimensions .*, not to 300"
    ):
        ShortenedEmbedder(Whole(), Shortening(Whole.name, 300, is_forced=False))


def test_rows_that_are_none_stay_none_and_spoil_no_other() -> None:
    vectors = np.array([[0.6, 0.8, 0], [0, 0, 1], [np.nan, 0, 1]], dtype=np.float32)
    kept = shorten(vectors, 2)
    np.testing.assert_allclose(kept[0], [0.6, 0.8], atol=1e-6)
    assert not kept[1].any()
    assert np.isnan(kept[2]).any()


def test_models_of_a_server_are_cut_here(serving: FaultyServer) -> None:
    name = serving.name
    whole, cut = load_embedder(name), load_embedder(f"{name}#truncate=24")
    picture = [Image.new("RGB", (30, 20), "red")]
    np.testing.assert_allclose(cut.embed_images(picture), shorten(whole.embed_images(picture), 24), atol=1e-6)
    assert describe_model(f"{name}#truncate=24").dimensions == 24


def imgvec(database: str, *arguments: str) -> int:
    return run(cli, [*arguments, "--dsn", database])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    for color in ("red", "green", "blue", "white"):
        Image.new("RGB", (20, 20), color).save(made / f"{color}.png")
    return made


def test_collection_of_fewer_dimensions_is_created_searched_and_switched(
    database: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = ("collection", "create", "image", "--library", "--model", "test", "--dimensions", "24")
    assert imgvec(database, *library) == 1
    assert "--force-dimensions" in capsys.readouterr().err
    assert imgvec(database, *library, "--force-dimensions") == 0
    assert "by test#truncate=24 (24 dimensions)" in capsys.readouterr().out
    assert imgvec(database, "add", str(folder)) == 0
    assert imgvec(database, "backfill", "image") == 0
    with psycopg.connect(database, autocommit=True) as connection:
        kept = connection.execute(
            "SELECT count(*), min(vector_dims(embedding)), max(vector_dims(embedding)) FROM imgvec.image_embedding"
        ).fetchone()
        assert kept == (4, 24, 24)
    capsys.readouterr()
    assert imgvec(database, "search", "--collection", "image", "blue", "--json") == 0
    assert "blue.png" in json.dumps(json.loads(capsys.readouterr().out)[0])
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute(
            "SELECT uri FROM imgvec.near_image_text('blue') JOIN imgvec.image USING (id) ORDER BY distance LIMIT 1"
        ).fetchone()
        assert found is not None
        assert found[0].endswith("blue.png")
    assert imgvec(database, "collection", "alias", "pictures", "image") == 0
    switch = ("collection", "switch", "pictures", "--dimensions", "12", "--force-dimensions", "--yes")
    assert imgvec(database, *switch) == 0
    with psycopg.connect(database, autocommit=True) as connection:
        dims = connection.execute("SELECT max(vector_dims(embedding)) FROM imgvec.pictures_test_12_embedding")
        assert dims.fetchone() == (12,)
    assert imgvec(database, "model", "verify") == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "test", "--force-dimensions"), "--force-dimensions goes with --dimensions N"),
        (("--model", "auto", "--dimensions", "24"), "--dimensions is for a model that is named"),
    ],
)
def test_options_that_say_nothing_are_refused(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imgvec("", "collection", "create", "image", "--library", *arguments) == 2
    assert told in capsys.readouterr().err
