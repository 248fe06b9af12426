"""A CLIP that loads in no time, in OpenCLIP's local-dir format."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from imgvec_pg.embedding.runtime import import_open_clip

MERGES = ("c a", "ca t</w>", "d o", "do g</w>", "r e", "re d</w>")
# Bytes, bytes that end a word, merges, the empty one that a last newline makes, start and end of text.
VOCABULARY = 2 * 256 + len(MERGES) + 1 + 2


def tiny_config() -> dict[str, Any]:
    """Return its configuration."""
    return {
        "model_cfg": {
            "embed_dim": 32,
            "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
            "text_cfg": {
                "context_length": 16,
                "vocab_size": VOCABULARY,
                "width": 64,
                "heads": 2,
                "layers": 2,
                "tokenizer_kwargs": {"bpe_path": "merges.txt.gz"},
            },
        },
        "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "resize_mode": "squash"},
    }


def write_tiny_model(
    folder: Path, *, seed: int = 7, change: Callable[[dict[str, Any]], None] | None = None
) -> Path:
    """Write a tiny model, after a change of its configuration, with weights that fit."""
    config = tiny_config()
    if change is not None:
        change(config)
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    merges = "\n".join(["#version: test", *MERGES, ""]).encode()
    (folder / "merges.txt.gz").write_bytes(gzip.compress(merges, mtime=0))
    open_clip = import_open_clip()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config["model_cfg"])
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
