"""Build OpenCLIP's network and load exactly the requested weights."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.local_dir import read_folder_config
from imgvec_pg.embedding.openclip_names import architecture_config
from imgvec_pg.embedding.runtime import import_open_clip, one_line
from imgvec_pg.embedding.torch_models.mapped_weights import UnfilledParameters
from imgvec_pg.embedding.torch_models.openclip_text_tower import local_text_tower
from imgvec_pg.embedding.weights import tensor_shapes
from imgvec_pg.errors import ModelError


def network_config(model: ModelDescription) -> dict[str, Any]:
    """Return OpenCLIP's configuration of a model's network."""
    if model.folder is None:
        return architecture_config(model.architecture)
    config: dict[str, Any] = read_folder_config(model.name, model.folder)["model_cfg"]
    return config


def build_network(model: ModelDescription, weights: Path, device: str, precision: str) -> Any:  # noqa: ANN401
    """Build OpenCLIP's network with these weights, all of them and none other."""
    shapes = tensor_shapes(weights)
    if model.folder is not None:
        source: dict[str, Any] = {"model_name": f"local-dir:{model.folder}"}
    else:
        # The preprocessing must be stated beside a file: open_clip takes OpenAI's mean and std otherwise.
        preprocessing = asdict(model.preprocessing) if model.preprocessing is not None else None
        source = {
            "model_name": model.architecture,
            "pretrained": str(weights),
            "force_preprocess_cfg": preprocessing,
        }
    tower = local_text_tower(model, network_config(model)["text_cfg"])
    if tower is not None:
        source["text_cfg"] = tower
    try:
        with UnfilledParameters():
            network = import_open_clip().create_model(
                **source, device=device, precision=precision, require_pretrained=True, pretrained_text=False
            )
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{model.name} does not fit into the memory of {device}: {one_line(error)}"
        ) from error
    except (RuntimeError, ImportError, AssertionError) as error:
        raise ModelError(
            f"{weights} does not fit {model.name}: {one_line(error)}; name the model that these weights are of"
        ) from error
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ModelError(f"{model.name} cannot be built from its configuration: {one_line(error)}") from error
    _check_nothing_was_adapted(model, weights, shapes, network)
    return network.eval().requires_grad_(False)


def _check_nothing_was_adapted(
    model: ModelDescription, weights: Path, shapes: Mapping[str, tuple[int, ...]], network: torch.nn.Module
) -> None:
    """Refuse what open_clip.load_checkpoint corrects silently: another image size, a missing bias."""
    for key, tensor in network.state_dict().items():
        # Only one element may change its form: logit_scale is a scalar or has one dimension.
        if key in shapes and shapes[key] != tuple(tensor.shape) and math.prod(shapes[key]) != 1:
            raise ModelError(
                f"{weights} does not fit {model.name}: {key} has the shape {shapes[key]}, "
                f"expected {tuple(tensor.shape)}; name the architecture it was trained with"
            )
        if key == "logit_bias" and key not in shapes and "logit_scale" in shapes:
            raise ModelError(f"{weights} does not fit {model.name}: it has no logit_bias, so it is no SigLIP")


def inference_transform(preprocessing: Mapping[str, Any]) -> Callable[[Image], torch.Tensor]:
    """Return OpenCLIP's own transform for inference; it keeps no state, so threads may share it."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform: Callable[[Image], torch.Tensor] = image_transform_v2(
        PreprocessCfg(**preprocessing), is_train=False
    )
    return transform


@contextmanager
def device_errors(name: str, batch: int, device: str, precision: str) -> Iterator[None]:
    """Turn torch's ways of running out of memory into Python's own, which callers know without torch.

    Raises:
        MemoryError: The batch does not fit on the device.
        ModelError: The network cannot compute in this precision.
    """
    try:
        yield
    except RuntimeError as error:
        told = str(error)
        # c10/core/impl/alloc_cpu.cpp has no class of its own for it
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in told:
            raise MemoryError(f"a batch of {batch} does not fit into the memory of {device}") from error
        if precision == "fp32" or ("dtype" not in told and "scalar type" not in told):
            raise
        raise ModelError(
            f"{name} cannot be computed in {precision} ({one_line(error, 120)}): use --precision fp32"
        ) from error
