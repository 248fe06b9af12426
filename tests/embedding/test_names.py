"""Names outside the catalogue are OpenCLIP's own, with its pitfalls as errors."""

from dataclasses import replace

import pytest

from imgvec_pg.embedding.catalog import CATALOGUE, describe_model
from imgvec_pg.embedding.openclip_names import describe_open_clip_model
from imgvec_pg.embedding.runtime import import_open_clip
from imgvec_pg.embedding.timm_names import describe_timm_model
from imgvec_pg.embedding.weights import find_weights, where_weights_are
from imgvec_pg.errors import ModelNotFoundError, WeightsMissingError


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_catalogue_is_what_open_clip_and_timm_publish(name: str) -> None:
    architecture, _, tag = name.partition("/")
    library = architecture == "timm"
    published = describe_timm_model(tag) if library else describe_open_clip_model(architecture, tag)
    model = CATALOGUE[name]
    assert replace(model, facts=None) == published
    assert model.facts is not None
    assert model.facts.gflops > 0
    assert model.facts.image_parameters <= model.facts.parameters


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm/resnet500.a1_in1k",
            "timm has no architecture 'resnet500': the nearest names are .*timm/resnet50",
        ),
        ("timm/resnet50.a9_in1k", "'a9_in1k' was given: the nearest names are timm/resnet50"),
        ("timm/resnet50", "none was given: the nearest names are timm/resnet50"),
        ("resnet50.a1_in1k", "is a model of timm: name it timm/resnet50.a1_in1k"),
    ],
)
def test_unknown_timm_names_offer_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message):
        describe_model(name)


@pytest.mark.parametrize(
    "name",
    [
        "ViT-L-14/openaii", "ViT-L-14/dfn2", "ViT-L-14-quickgelu/dfn2", "ViT-B-33/laion2b_s34b_b79k", "ViT-B-33/own",
        "RN50x4/own", "ViT-H-14-378/dfn5", "ViT-L14", "siglip", "dinov2", "timm/resnet50", "timm/resnet500.a1_in1k",
        "timm/vit_small_patch14_dinov2",
    ],
)  # fmt: skip
def test_names_that_are_offered_are_models(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as told:
        describe_model(name)
    message = str(told.value)
    offered = message.partition("the nearest names are ")[2].split(", ")
    assert name not in offered
    for each in offered:
        assert describe_model(each).name == each


def test_catalogues_quickgelu_names_are_offered() -> None:
    for name, expected in (
        ("ViT-L-14/dfn2", "ViT-L-14-quickgelu/dfn2b"),
        ("ViT-L-14/openaii", "ViT-L-14-quickgelu/openai"),
        ("ViT-L-14", "ViT-L-14-quickgelu/openai"),
    ):
        with pytest.raises(ModelNotFoundError, match=expected):
            describe_model(name)


def test_timms_weights_outside_the_hub_are_told_as_such() -> None:
    model = describe_model("timm/gcvit_base.in1k")
    assert where_weights_are(model).startswith("not on this machine; published outside the hub")
    with pytest.raises(WeightsMissingError, match=r"timm/gcvit_base\.in1k are published outside the hub"):
        find_weights(model)


def test_any_other_timm_name_works() -> None:
    model = describe_model("timm/convnext_tiny.fb_in22k")
    assert (model.dimensions, model.has_text, model.half) == (768, False, "fp16")
    assert describe_model("timm/mobilenetv3_small_100.lamb_in1k").dimensions == 1024


@pytest.mark.parametrize(
    ("name", "dimensions", "repository"),
    [
        ("ViT-B-16/datacomp_xl_s13b_b90k", 512, "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K"),
        ("RN50-quickgelu/openai", 1024, "timm/resnet50_clip.openai"),
        ("ViT-B-16-SigLIP2/webli", 768, "timm/ViT-B-16-SigLIP2"),
    ],
)
def test_any_other_open_clip_name_works(name: str, dimensions: int, repository: str) -> None:
    model = describe_model(name)
    assert (model.name, model.dimensions, model.hub_repository) == (name, dimensions, repository)


def test_one_model_has_one_name() -> None:
    assert describe_model("ViT-B-32/laion2b-S34B-b79k").name == "ViT-B-32/laion2b_s34b_b79k"
    assert describe_model("ViT-B-16/datacomp-xl-s13b-b90k").name == "ViT-B-16/datacomp_xl_s13b_b90k"


def test_pickle_on_the_hub_is_looked_for_as_safetensors() -> None:
    assert describe_model("ViTamin-S/datacomp1b").hub_filename == "pytorch_model.safetensors"


def test_quickgelu_weights_in_a_plain_architecture_are_an_error() -> None:
    with pytest.raises(ModelNotFoundError, match="use ViT-L-14-quickgelu/openai"):
        describe_model("ViT-L-14/openai")


def refusal(architecture: str, tag: str) -> str:
    try:
        describe_open_clip_model(architecture, tag)
    except ModelNotFoundError as error:
        return str(error)
    return ""


def test_every_quickgelu_mismatch_names_a_model_that_works() -> None:
    open_clip = import_open_clip()
    mismatched = 0
    for architecture, tag in open_clip.list_pretrained():
        message = refusal(architecture, tag)
        if message:
            mismatched += 1
            assert message.endswith(f"use {architecture}-quickgelu/{tag}")
            assert not refusal(f"{architecture}-quickgelu", tag)
    assert mismatched > 10


def test_unknown_tag_names_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError, match="ViT-B-32/laion2b_s34b_b79k"):
        describe_model("ViT-B-32/laion2b_s34b_b79")
    with pytest.raises(ModelNotFoundError, match="ViT-B-32/laion2b_s34b_b79k"):
        describe_model("ViT-B-32-quickgelu/laion2b_s34b_b79k")
    with pytest.raises(ModelNotFoundError, match="nearest names are ViT-B-32/laion2b_e16"):
        describe_model("ViT-B-32/qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq")
