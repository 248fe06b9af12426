"""Load an embedder by model name. Importing this module does not import torch."""

import warnings
from importlib.metadata import EntryPoint
from pathlib import Path

from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.description import PLUGIN, TIMM, TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.hub.hub_name import TRANSFORMERS_PREFIX
from imgvec_pg.embedding.light_embedder import TEST_NAME, LightEmbedder
from imgvec_pg.embedding.matryoshka import ShortenedEmbedder, split_name, whole_name
from imgvec_pg.embedding.onnx_models.choose import load_by_fastest
from imgvec_pg.embedding.plugins import find_plugin, load_plugin
from imgvec_pg.embedding.remote.model_name import is_remote
from imgvec_pg.embedding.remote.remote_embedder import RemoteEmbedder
from imgvec_pg.embedding.runtime import require_hub_extra, require_models_extra
from imgvec_pg.embedding.torch_models.variants import ModelVariants, PlainVariants
from imgvec_pg.errors import MissingExtraError, UsageError


def load_embedder(
    name: str,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    may_export: bool = False,
    force_int8: bool = False,
    images: int | None = None,
) -> Embedder:
    """Load the model of this name with its weights.

    Args:
        name: "architecture/pretrained", "timm/architecture.tag", "hf-hub:org/name", "transformers:org/name", "demo", "test",
            "local-dir:/path", "http:NAME@URL" or the name of an entry point in the group imgvec_pg.embedders;
            "#dimensions=256" behind it cuts its vectors.
        weights: A safetensors file to use instead of the published weights; `name` then says which
            architecture it is for and whose preprocessing belongs to it. The fingerprint tells them apart.
        device: "auto", "cpu", "cuda" or "cuda:n".
        precision: "fp32", "bf16", "fp16", or "auto": bf16 where the device has instructions for it, else fp32 on
            a CPU and fp16 on a GPU. "int8" (the extra `onnx`, on a CPU): pictures by linear layers in 8 bits, quantised once into
            IMGVEC_CACHE_DIR; words in fp32.
        runtime: "torch", "onnx" or "openvino" (extras of these names, on a CPU), or "auto": ONNX Runtime or OpenVINO where the
            model was exported for it on this machine, gives the same numbers and was the fastest, or ONNX Runtime has so few
            `images` done before torch has begun.
        may_export: "auto" exports a model that was not, which takes some ten seconds, once; into IMGVEC_CACHE_DIR.
        force_int8: Use "int8" although its vectors have a cosine below 0.99 to those of fp32.
        images: How many it is to embed at most; None for many, or where that is not known.

    Raises:
        ModelNotFoundError: No such model.
        MissingExtraError: It takes the extra `models`, which is not installed.
        WeightsMissingError: Its weights are not on this machine and cannot be fetched.
        ModelError: It cannot be loaded as asked.
    """
    short = split_name(name)
    if short is not None:
        stated = () if is_remote(name) else describe_model(name).matryoshka
        whole = load_embedder(
            short.base, weights=weights, device=device, precision=precision, runtime=runtime, may_export=may_export,
            force_int8=force_int8, images=images,
        )  # fmt: skip
        return ShortenedEmbedder(whole, short, stated)
    if is_remote(name) or name == TEST_NAME:
        _refuse_weights(name, weights)
        return RemoteEmbedder(name) if is_remote(name) else LightEmbedder()
    plugin = _plugin_of(name)
    if plugin is not None:
        _refuse_weights(name, weights)
        return load_plugin(plugin, device=device, precision=precision)
    model = describe_model(name)
    check_loadable(name)
    if model.folder is not None or model.library == TRANSFORMERS:
        _refuse_weights(name, weights)
    file = Path(weights).expanduser() if weights is not None else None
    return load_by_fastest(
        model, file, device, precision, runtime, may_export=may_export, force_int8=force_int8, images=images
    )  # fmt: skip


def load_variants(name: str, *, device: str = "auto") -> ModelVariants:
    """Load a model with its known wrong variants, in float32: half precision would hide how near two of them are.

    Raises:
        As load_embedder.
    """
    embedder = load_embedder(name, device=device, precision="fp32", runtime="torch")
    model = describe_model(name)
    if model.library in (PLUGIN, TRANSFORMERS) or model.whole_dimensions is not None:
        return PlainVariants(embedder)
    from imgvec_pg.embedding.torch_models.torch_variants import TorchVariants  # torch, only now

    return TorchVariants(embedder, model)


def is_loadable(name: str) -> bool:
    """Return whether this installation has the packages that load a model: the extra `models`, or a team's own."""
    try:
        check_loadable(name)
    except MissingExtraError:
        return False
    return True


def check_loadable(name: str) -> None:
    """Refuse, before anything else is begun, a model that this installation has no packages for.

    Raises:
        MissingExtraError: It takes the extra `models`, or `hub`, which is not installed.
    """
    name = whole_name(name)
    if name == TEST_NAME or is_remote(name) or _plugin_of(name) is not None:
        return
    require = require_hub_extra if name.startswith(TRANSFORMERS_PREFIX) else require_models_extra
    require(f"loading the model {name}")


def _plugin_of(name: str) -> EntryPoint | None:
    return find_plugin(name) if "/" not in name else None


def check_weights_fit(model: ModelDescription, weights: Path) -> None:
    """Compare the weights' names and shapes with a network that takes no memory.

    Raises:
        MissingExtraError: The extra `models` is not installed.
        ModelError: They are of another architecture.
    """
    require_models_extra(f"checking weights of {model.name}")
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of each tensor that is copied to nowhere
        if model.library == TIMM:
            from imgvec_pg.embedding.torch_models.timm_embedder import build_timm_network

            build_timm_network(model, weights)
        else:
            from imgvec_pg.embedding.torch_models.openclip_network import build_network

            build_network(model, weights, "meta", "fp32")


def _refuse_weights(name: str, weights: str | Path | None) -> None:
    if weights is not None:
        raise UsageError(f"{name} brings its own weights: leave out --weights {weights}")
