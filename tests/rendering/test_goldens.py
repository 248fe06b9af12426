import numpy as np
import pytest
from golden import TIFF_ENVIRONMENT, Golden
from goldencorpus import corpus
from photonet import features

from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.rendering.version import FIRST

LEAST_FILES = 150
LEAST_MEAN_COSINE, LEAST_COSINE = 0.999, 0.99
# By name: to make the corpus takes seconds, which each process that collects tests would spend.
KINDS = (
    "plain",
    "jpeg",
    "blank",
    "profile",
    "ignored profile",
    "hdr",
    "tiff",
    "png",
    "gif",
    "webp",
    "apng",
    "avif",
)


@pytest.fixture(autouse=True)
def tiff_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TIFF_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def of_kind(kind: str) -> list[Golden]:
    return [golden for golden in corpus() if golden.name.split("/")[0] == kind]


def found(golden: Golden) -> np.ndarray:
    return np.asarray(decode_image(golden.data))


@pytest.mark.parametrize("kind", KINDS)
def test_golden_pictures_are_rendered_right(kind: str) -> None:
    wrong = []
    for golden in of_kind(kind):
        image = decode_image(golden.data)
        pixels = np.asarray(image)
        if pixels.shape != golden.right.shape:
            wrong.append(f"{golden.name}: {pixels.shape} for {golden.right.shape}")
            continue
        levels = np.abs(pixels.astype(int) - golden.right.astype(int)).mean()
        if levels > golden.most_levels or image.info["notes"] != golden.notes:
            wrong.append(f"{golden.name}: {levels:.2f} levels from {golden.by}, {image.info['notes']}")
    assert wrong == []


def test_corpus_is_for_a_model_what_a_person_sees() -> None:
    files = corpus()
    assert len(files) >= LEAST_FILES
    assert len({golden.name for golden in files}) == len(files)
    assert {golden.name.split("/")[0] for golden in files} == set(KINDS)
    shown = [golden for golden in files if "blank" not in golden.notes]
    cosines = (
        features([found(golden) for golden in shown]) * features([golden.right for golden in shown])
    ).sum(axis=1)
    assert {
        golden.name: cosine for golden, cosine in zip(shown, cosines, strict=True) if cosine < LEAST_COSINE
    } == {}
    assert cosines.mean() >= LEAST_MEAN_COSINE


def test_first_rendering_falls_short_of_the_corpus() -> None:
    """What the corpus can tell: by the first rendering a good part of the same files is another picture."""
    shown = [golden for golden in of_kind("tiff") if "0 to 255 in" in golden.name or "in 16" in golden.name]
    at_first = [np.asarray(decode_image(golden.data, rendering=FIRST)) for golden in shown]
    cosines = (features(at_first) * features([golden.right for golden in shown])).sum(axis=1)
    assert cosines.mean() < 0.7
    assert (cosines < 0.5).sum() > 10
