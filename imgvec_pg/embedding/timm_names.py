"""Names of timm's image models: "timm/architecture.tag". Importing this module imports neither timm nor torch."""

from typing import Any

from imgvec_pg.embedding.description import TIMM, ModelDescription, Preprocessing
from imgvec_pg.embedding.openclip_names import nearest
from imgvec_pg.embedding.runtime import import_timm
from imgvec_pg.errors import ModelError, ModelNotFoundError

TIMM_PREFIX = "timm/"
TIMM_WEIGHTS = "model.safetensors"  # timm 1.0 src/timm/models/_hub.py: HF_SAFE_WEIGHTS_NAME


def timm_description(
    name: str,
    *,
    dimensions: int,
    pixels: tuple[int, int],
    preprocessing: Preprocessing,
    crop_share: float,
    hub: str,
    **more: Any,  # noqa: ANN401 - further fields of ModelDescription
) -> ModelDescription:
    """Describe a timm model, `name` being timm's own, "resnet50.a1_in1k"."""
    architecture, _, tag = name.partition(".")
    return ModelDescription(
        name=f"{TIMM_PREFIX}{name}",
        architecture=architecture,
        pretrained=tag,
        dimensions=dimensions,
        has_text=False,
        image_size=pixels,
        preprocessing=preprocessing,
        hub_repository=hub,
        hub_filename=TIMM_WEIGHTS,
        library=TIMM,
        crop_share=crop_share,
        half="bf16" if is_transformer(architecture) else "fp16",
        **more,
    )


def is_transformer(architecture: str) -> bool:
    """Return whether timm's name is that of a plain transformer, which bf16 suits."""
    return architecture.startswith(("vit_", "eva", "deit", "beit", "flexivit", "naflexvit", "test_vit"))


def describe_timm_model(name: str) -> ModelDescription:
    """Describe a model that timm publishes weights of.

    Args:
        name: timm's own name, "vit_small_patch14_dinov2.lvd142m".

    Raises:
        ModelNotFoundError: timm has no such model or weights; the nearest names are told.
        ModelError: It cannot be used as an embedder.
    """
    timm = import_timm()
    architecture, _, tag = name.partition(".")
    names = [f"{TIMM_PREFIX}{known}" for known in timm.list_pretrained()]
    wanted = f"{TIMM_PREFIX}{name}"
    if not timm.is_model(architecture):
        offered = nearest(wanted, names, fallback="see timm.list_pretrained()")
        raise ModelNotFoundError(f"timm has no architecture {architecture!r}: {offered}")
    if wanted not in names:
        own = [known for known in names if known.startswith(f"{TIMM_PREFIX}{architecture}.")]
        raise ModelNotFoundError(
            f"{architecture} needs one of its weights named, timm/{architecture}.TAG; "
            f"{repr(tag) if tag else 'none'} was given: "
            f"{nearest(wanted, own, otherwise=own, fallback='timm publishes none for it')}"
        )
    published = timm.models.get_pretrained_cfg(name)
    if published.crop_mode != "center" or published.input_size[0] != 3:
        raise ModelError(
            f"timm/{name} wants images of {published.input_size[0]} channels cropped by {published.crop_mode!r}; "
            "only RGB and 'center' are supported"
        )
    return timm_description(
        name,
        dimensions=_feature_count(architecture),
        pixels=(published.input_size[1], published.input_size[2]),
        preprocessing=Preprocessing(
            mean=tuple(published.mean), std=tuple(published.std), interpolation=published.interpolation
        ),
        crop_share=published.crop_pct,
        hub=published.hf_hub_id or "",
    )


def _feature_count(architecture: str) -> int:
    """Return the length of the vector before the classifier, from a network without memory behind it."""
    import torch

    with torch.device("meta"):
        network = import_timm().create_model(architecture, pretrained=False, num_classes=0)
    return int(getattr(network, "head_hidden_size", None) or network.num_features)
