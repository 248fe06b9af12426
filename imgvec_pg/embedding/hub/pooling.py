"""How a model of transformers becomes one vector an image: the one place where it is said which of its outputs that is.

Models with words are asked by get_image_features and get_text_features, which project into the space that both share. Models of
images alone have no such method, and which output is meant differs: a wrong one gives vectors that look right. The rules are
those of the models' authors: DINOv2's and DINOv3's hubs give the class token after the last normalisation; ViT's `pooler_output`
passes through a layer that checkpoints of classifiers do not have, and that transformers fills with random numbers; convolutional
networks and Swin mean over all places; SigLIP's image tower has attention pooling of its own.
"""

from dataclasses import dataclass
from typing import Any

CLASS_TOKEN, POOLER, MEAN = "class token", "pooler", "mean of patches"


@dataclass(frozen=True)
class Pooling:
    """What stands for an image.

    Attributes:
        rule: CLASS_TOKEN, last_hidden_state[:, 0]; POOLER, pooler_output; MEAN, over last_hidden_state.
        options: What the network is built with beside its configuration.
        half: The half precision that suits it; deep convolutions lose too much in bf16.
    """

    rule: str
    options: tuple[tuple[str, Any], ...] = ()
    half: str = "bf16"


_WITHOUT_POOLER = (("add_pooling_layer", False),)

# By transformers' model_type (5.24 src/transformers/models/auto/auto_mappings.py).
IMAGE_MODELS = {
    "dinov2": Pooling(CLASS_TOKEN),
    "dinov2_with_registers": Pooling(CLASS_TOKEN),
    "dinov3_vit": Pooling(CLASS_TOKEN),
    "dinov3_convnext": Pooling(POOLER, half="fp16"),
    "vit": Pooling(CLASS_TOKEN, _WITHOUT_POOLER),
    "deit": Pooling(CLASS_TOKEN, _WITHOUT_POOLER),
    "vit_msn": Pooling(CLASS_TOKEN),
    "ijepa": Pooling(MEAN, _WITHOUT_POOLER),
    "convnext": Pooling(POOLER, half="fp16"),
    "convnextv2": Pooling(POOLER, half="fp16"),
    "resnet": Pooling(POOLER, half="fp16"),
    "regnet": Pooling(POOLER, half="fp16"),
    "swin": Pooling(POOLER),
    "swinv2": Pooling(POOLER),
    "clip_vision_model": Pooling(POOLER),
    "siglip_vision_model": Pooling(POOLER),
}


def pooled(output: Any, rule: str) -> Any:  # noqa: ANN401 - transformers' outputs, a torch tensor
    """Return the vectors, shape (n, dimensions), of what a network gave."""
    if rule == POOLER:
        return output.pooler_output.flatten(1)  # (n, dimensions, 1, 1) of ResNet
    tokens = output.last_hidden_state
    return tokens[:, 0] if rule == CLASS_TOKEN else tokens.mean(dim=1)


def features_of(output: Any) -> Any:  # noqa: ANN401
    """Return what get_image_features and get_text_features gave: a tensor before transformers 5, an output with it since."""
    return getattr(output, "pooler_output", output)
