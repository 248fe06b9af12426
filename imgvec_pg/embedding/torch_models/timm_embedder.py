"""Embedder for timm's image models: the features before the classifier."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from imgvec_pg.embedding.checksums import fingerprint_model
from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.runtime import import_timm, one_line
from imgvec_pg.embedding.torch_models.mapped_weights import UnfilledParameters
from imgvec_pg.embedding.torch_models.preprocess import shorter_side_resize
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.embedding.weights import tensor_shapes
from imgvec_pg.errors import ModelError


class TimmEmbedder(TorchEmbedder):
    """A timm model without its classifier."""

    def __init__(
        self,
        model: ModelDescription,
        *,
        weights: Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Load a model; see OpenClipEmbedder."""
        super().__init__(model, weights, device, precision)
        self.network = self.folded(build_timm_network(model, self.weights).eval())
        self.network = in_precision(self.network, self.dtype).to(self.device).eval().requires_grad_(False)
        transform = timm_transform(model)
        self.use_transform(transform)
        self.first_resize = shorter_side_resize(transform)
        preprocessing = {
            **(asdict(model.preprocessing) if model.preprocessing else {}),
            "size": model.image_size,
            "crop_share": model.crop_share,
        }
        config = {"timm": model.architecture, "num_classes": 0}
        self.fingerprint = fingerprint_model(self.weights_sha256, config, preprocessing, {})

    def image_encoder(self) -> torch.nn.Module:
        """Return the network."""
        network: torch.nn.Module = self.network
        return network

    def encode(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the pooled features of a normalised batch."""
        features: torch.Tensor = self.network(batch)
        return features


def build_timm_network(model: ModelDescription, weights: Path) -> Any:  # noqa: ANN401
    """Build timm's network with these weights; those of the classifier are left out, all others must fit."""
    from safetensors.torch import load_file

    tensor_shapes(weights)  # a corrupt file is told as one
    timm = import_timm()
    try:
        with UnfilledParameters():
            network = timm.create_model(model.architecture, pretrained=False, num_classes=0)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{model.name} cannot be built by this timm: {one_line(error)}") from error
    classifier = network.pretrained_cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    state = load_file(weights)
    kept = {
        key: tensor
        for key, tensor in state.items()
        if not any(key.startswith(f"{name}.") for name in names) or key in network.state_dict()
    }
    try:
        with UnfilledParameters():
            network.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"{weights} does not fit {model.name}: {one_line(error)}; name the model that these weights are of"
        ) from error
    return network


def in_precision(network: Any, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Convert a network, save its batch normalisations, whose running sums lose too much in half precision."""
    network = network.to(dtype)
    if dtype != torch.float32:
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.float()
    return network


def timm_transform(model: ModelDescription) -> Any:  # noqa: ANN401
    """Return timm's own transform for inference."""
    import_timm()
    from timm.data.transforms_factory import create_transform

    assert model.preprocessing is not None and model.image_size is not None  # noqa: S101, PT018 - every timm model's
    return create_transform(
        input_size=(3, *model.image_size),
        is_training=False,
        mean=model.preprocessing.mean,
        std=model.preprocessing.std,
        interpolation=model.preprocessing.interpolation,
        crop_pct=model.crop_share,
        crop_mode="center",
    )
