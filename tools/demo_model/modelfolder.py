"""The demo model as a folder in OpenCLIP's `local-dir:` format."""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from imgvec_pg.embedding.runtime import import_open_clip
from tools.demo_model.augment import IMAGE_SIZE, MEAN, STD

MODEL_FOLDER = Path(__file__).parents[2] / "imgvec_pg" / "demo" / "model"
CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
MERGES_NAME = "bpe_demo_vocab.txt.gz"
DIMENSIONS = 256
CONTEXT_LENGTH = 24


def model_config(vocabulary_size: int) -> dict[str, Any]:
    """Describe both towers: 3.9 million weights together, so that fp16 stays below 8 MB.

    A small CNN, since at this size it learned several times faster on a CPU than a vision transformer.
    """
    return {
        "embed_dim": DIMENSIONS,
        "vision_cfg": {
            "timm_model_name": "cs3darknet_focus_s",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": IMAGE_SIZE,
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocabulary_size,
            "width": 128,
            "heads": 4,
            "layers": 2,
            # A file name beside this one: whoever loads the folder passes the whole path, since
            # open_clip 3.3 would look for it in the working directory.
            "tokenizer_kwargs": {"bpe_path": MERGES_NAME},
        },
    }


def preprocess_config() -> dict[str, Any]:
    """Describe what OpenCLIP does to an image before the model."""
    return {
        "size": [IMAGE_SIZE, IMAGE_SIZE],
        "mode": "RGB",
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }


def build_model(vocabulary_size: int) -> Any:  # noqa: ANN401 - open_clip is untyped
    """Make the model with random weights, drawn from torch's global generator."""
    return import_open_clip().CLIP(**model_config(vocabulary_size), init_logit_scale=math.log(20.0))


def encode_tokens(model: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401 - open_clip is untyped
    """Embed tokens: OpenCLIP's encode_text without the padding, which its causal mask ignores anyway.

    Args:
        model: The model.
        tokens: Shape (t, length), of any length up to the model's context.

    Returns:
        Shape (t, dimensions), float32, each row of L2 norm 1.
    """
    length = tokens.shape[1]
    hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
    pooled = hidden[torch.arange(len(tokens)), tokens.argmax(dim=1)]
    return functional.normalize(pooled @ model.text_projection, dim=1)


def export_model(state: dict[str, Tensor], merges_file: Path, vocabulary_size: int, folder: Path) -> str:
    """Write weights in fp16, configuration and merges; return the weights' SHA-256 (hex)."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: _halved(tensor) for name, tensor in state.items()}
    save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    config = {"model_cfg": model_config(vocabulary_size), "preprocess_cfg": preprocess_config()}
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if merges_file.resolve() != (folder / MERGES_NAME).resolve():
        shutil.copyfile(merges_file, folder / MERGES_NAME)
    return hashlib.sha256((folder / WEIGHTS_NAME).read_bytes()).hexdigest()


def _halved(tensor: Tensor) -> Tensor:
    copy = tensor.detach().contiguous().clone()
    return copy.half() if copy.is_floating_point() else copy
