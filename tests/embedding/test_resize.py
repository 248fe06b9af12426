"""Resized where it was decoded, a picture becomes the very numbers that OpenCLIP's own preprocessing makes of it."""

import pytest
import torch
from PIL import Image
from skimage import data

from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.resize import first_resize
from imgvec_pg.embedding.runtime import import_open_clip, import_timm
from imgvec_pg.embedding.torch_models.openclip_network import inference_transform
from imgvec_pg.embedding.torch_models.preprocess import shorter_side_resize
from imgvec_pg.embedding.torch_models.timm_embedder import timm_transform

MEAN = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "mode": "RGB", "fill_color": 0}
SIZES = [
    (600, 400),
    (401, 600),
    (224, 224),
    (31, 47),
    (223, 4000),
    (4000, 223),
    (225, 224),
    (17, 340),
    (999, 998),
]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("size", "mode"), [(224, "shortest"), ((224, 224), "shortest"), (96, "squash"), ((96, 128), "squash")]
)
def test_preprocessing_is_bit_for_bit_the_same(
    size: int | tuple[int, int], mode: str, interpolation: str
) -> None:
    import_open_clip()
    preprocessing = {**MEAN, "size": size, "resize_mode": mode, "interpolation": interpolation}
    transform = inference_transform(preprocessing)
    resize = first_resize(preprocessing)
    assert resize is not None
    photograph = Image.fromarray(data.astronaut())
    for pixels in SIZES:
        image = photograph.resize(pixels)
        resized = resize.apply(image)
        assert torch.equal(transform(resized), transform(image)), pixels
        # Nothing is left to do: the transform's own resize gives back the same object's pixels.
        assert resize.apply(resized) is resized


@pytest.mark.parametrize("name", ["timm/tf_efficientnet_lite0.in1k", "timm/resnet50.a1_in1k"])
def test_timms_preprocessing_is_bit_for_bit_the_same(name: str) -> None:
    transform = timm_transform(describe_model(name))
    resize = shorter_side_resize(transform)
    assert resize is not None
    photograph = Image.fromarray(data.astronaut())
    for pixels in SIZES:
        image = photograph.resize(pixels)
        assert torch.equal(transform(resize.apply(image)), transform(image)), pixels


def test_a_timm_model_that_squashes_or_pads_resizes_for_itself() -> None:
    import_timm()
    from timm.data.transforms_factory import create_transform

    for mode in ("squash", "border"):
        assert shorter_side_resize(create_transform(224, crop_mode=mode)) is None


@pytest.mark.parametrize(
    "change", [{"resize_mode": "longest"}, {"size": (96, 128)}, {"interpolation": "random"}]
)
def test_what_begins_otherwise_is_left_alone(change: dict[str, object]) -> None:
    assert (
        first_resize({**MEAN, "size": 96, "resize_mode": "shortest", "interpolation": "bicubic", **change})
        is None
    )
