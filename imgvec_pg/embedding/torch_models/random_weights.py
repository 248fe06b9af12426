"""Random weights, for benchmarks without the real ones; made only when asked for by name."""

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from imgvec_pg.embedding.description import TIMM, ModelDescription
from imgvec_pg.embedding.runtime import import_open_clip, import_timm
from imgvec_pg.embedding.torch_models.mapped_weights import UnfilledParameters
from imgvec_pg.embedding.torch_models.openclip_network import network_config
from imgvec_pg.embedding.torch_models.openclip_text_tower import local_text_tower
from imgvec_pg.errors import ModelError


def write_random_weights(model: ModelDescription, file: Path) -> None:
    """Write a safetensors file of seeded random numbers in the shapes of a model.

    Raises:
        ModelError: The model is no published architecture.
    """
    if model.folder is not None or not model.pretrained:
        raise ModelError(f"{model.name} brings its own weights: leave out --random-weights")
    tower = None if model.library == TIMM else local_text_tower(model, network_config(model)["text_cfg"])
    source = {} if tower is None else {"text_cfg": tower}
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # OpenCLIP warns that there are no weights
    try:
        with UnfilledParameters():
            network: Any = (
                import_timm().create_model(model.architecture, pretrained=False)
                if model.library == TIMM
                else import_open_clip().create_model(model.architecture, pretrained_text=False, **source)
            )
    finally:
        logging.disable(before)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim >= 2 else 1
        if "logit" in name:
            continue
        if fan_in > 1:
            parameter.data.normal_(0.0, fan_in**-0.5, generator=generator)
        else:
            parameter.data.fill_(1.0 if name.endswith("weight") else 0.0)
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, file)
