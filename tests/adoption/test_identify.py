"""`identify` says which model made vectors, or that none did."""

import numpy as np
import pytest
from outside_vectors import Outside, write_quickgelu_model

from imgvec_pg.adoption.identify import VectorSample, identify
from imgvec_pg.embedding.load import load_variants
from imgvec_pg.errors import ModelError

SAMPLE = 40


def samples(outside: Outside, vectors: np.ndarray) -> list[VectorSample]:
    return [VectorSample(p, v) for p, v in zip(outside.photos[:SAMPLE], vectors[:SAMPLE], strict=True)]


@pytest.mark.parametrize(
    ("way", "variant"),
    [("right", ""), ("plain", " without quickgelu"), ("other_mean", " with ImageNet's mean and std")],
)
def test_vectors_of_open_clip_are_told_by_the_way_they_were_made(
    outside: Outside, way: str, variant: str
) -> None:
    found = identify(samples(outside, outside.vectors[way]), [outside.model])
    assert found.line() == f"made by {outside.model}{variant}, 1.0000 (median of {SAMPLE})"
    assert found.best.title == f"{outside.model}{variant}"
    assert found.best.median > 0.9999


def test_model_itself_is_not_taken_for_its_variants(outside: Outside) -> None:
    found = identify(samples(outside, outside.vectors["right"]), [outside.model])
    plain = next(c for c in found.candidates if c.variant == "without quickgelu")
    assert found.best.variant == ""
    assert 0.9 < plain.median < 0.995  # the two do differ, as with real weights


def test_half_precision_storage_is_no_other_model(outside: Outside) -> None:
    stored = outside.vectors["right"].astype(np.float16).astype(np.float32)
    found = identify(samples(outside, stored), [outside.model])
    assert found.best.title == outside.model


def test_vectors_of_none_are_said_to_be_of_none(outside: Outside) -> None:
    random = np.random.default_rng(5).normal(size=outside.vectors["right"].shape)
    found = identify(samples(outside, random), [outside.model])
    assert not found.is_known
    assert found.line().startswith(f"by none of {len(found.candidates)} candidates; best ")


def test_two_makers_of_one_column_are_both_named(outside: Outside) -> None:
    mixed = np.where(
        np.arange(SAMPLE)[:, None] < 15, outside.vectors["plain"][:SAMPLE], outside.vectors["right"][:SAMPLE]
    )
    found = identify(samples(outside, mixed), [outside.model])
    assert found.line() == (
        f"25 of {SAMPLE} made by {outside.model}, 1.0000; 15 by {outside.model} without quickgelu, 1.0000"
    )


def test_other_models_of_the_dimension_are_told_apart(
    outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = write_quickgelu_model(tmp_path_factory.mktemp("other") / "clip", seed=4)
    found = identify(samples(outside, outside.vectors["right"]), [f"local-dir:{other}", outside.model])
    assert found.best.model == outside.model
    assert found.itself(f"local-dir:{other}").median < 0.9  # type: ignore[union-attr]


def test_pictures_that_do_not_decode_count_for_nothing(outside: Outside) -> None:
    known = samples(outside, outside.vectors["right"])
    found = identify([VectorSample(b"no picture", np.ones(32)), *known], [outside.model])
    assert (found.sampled, found.unreadable) == (SAMPLE, 1)
    with pytest.raises(ModelError, match="0 of 1 sampled pictures can be decoded"):
        identify([VectorSample(b"no picture", np.ones(32))], [outside.model])


def test_vectors_of_another_length_are_refused(outside: Outside) -> None:
    with pytest.raises(ModelError, match=r"the vectors have 33 dimensions, .* gives 32"):
        identify(samples(outside, np.ones((SAMPLE, 33))), [outside.model])


def test_plugin_is_compared_as_it_is(outside: Outside) -> None:
    variants = load_variants("test")
    assert [v.label for v in variants.variants] == ["", "with channels in the order blue, green, red"]
