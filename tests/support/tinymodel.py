"""A CLIP that loads in no time, in OpenCLIP's local-dir format."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from imgvec_pg.embedding.openclip_names import architecture_config
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


SENTENCES = (
    "a photo of a cat",
    "two red shoes on a table",
    "the elephant stands above a person",
    "un café très chaud",
    "a cup of coffee on a saucer",
)


def write_tiny_siglip(folder: Path) -> Path:
    """Write a tiny SigLIP without weights: padded to 64 tokens, no causal mask, attention pooling, a sigmoid's bias."""
    folder.mkdir(parents=True)
    size = write_sentencepiece_tokenizer(folder)
    siglip = architecture_config("ViT-B-16-SigLIP-384")
    text = {**siglip["text_cfg"], "vocab_size": size, "width": 64, "heads": 2, "layers": 2}
    # timm's smallest transformer, pooled by attention as SigLIP's towers are.
    vision = {**siglip["vision_cfg"], "timm_model_name": "test_vit", "image_size": 160}
    model = {**siglip, "embed_dim": 64, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model, "preprocess_cfg": preprocess})
    )
    return folder


def write_sentencepiece_tokenizer(folder: Path) -> int:
    """Train a SentencePiece model and save it as SigLIP's is published, tokenizer.json; return its size."""
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 30),
        model_prefix=str(folder / "spiece"),
        vocab_size=80,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    trained = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    pieces = [(trained.id_to_piece(i), trained.get_score(i)) for i in range(trained.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return len(pieces)
