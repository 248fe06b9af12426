#!/usr/bin/env bash
# Python 3.11, Linux x86-64: infinity-emb 0.0.77 with transformers 4.47.1, an image-text model, CPU.
#
# Expected: a CLIP behind Infinity embeds words as transformers does with the model's own processor: up to the text tower's 77 tokens
# (text_config.max_position_embeddings), as OpenAI's and everybody's CLIP has them.
# Seen: texts are cut at 20 tokens, start and end among them, without a word in answer or log: Infinity passes max_length = config.max_length,
# which no CLIP's config.json has; it is transformers' default for *generation* that every PretrainedConfig carries (20), and is found before
# max_position_embeddings is looked for. Texts that agree in their first 18 tokens get one vector.
# So whoever moves a model from its processor to Infinity keeps the pictures' vectors and loses the ends of the words.
#
# Output seen:
#   config.max_length 20, text_config.max_position_embeddings 77
#   13 tokens: cosine to transformers 1.000000
#   47 tokens: cosine to transformers 0.75, to transformers cut at 20 tokens 1.000000
#   two texts with one beginning: cosine 1.000000 by Infinity, 0.77 by transformers
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "infinity-emb[torch,vision]==0.0.77" transformers==4.47.1 torch==2.13.0
# A torchvision that was built for another torch cannot be imported; nothing here needs it.
"$work/venv/bin/pip" uninstall --quiet --yes torchvision
cd "$work"
HF_HUB_OFFLINE=1 DO_NOT_TRACK=1 "$work/venv/bin/python" - 2> "$work/log" <<'PYTHON'
import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import torch
from infinity_emb import AsyncEmbeddingEngine, EngineArgs
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

FOLDER = Path("model")
TOWER = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
SHORT = "two red shoes"
LONG = "two red shoes on a table beside the window with flowers"
OTHER = "two red shoes on a tablet"  # the same 18 first characters, a token each


def make_model():
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    FOLDER.mkdir()
    (FOLDER / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (FOLDER / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(FOLDER / "vocab.json"), str(FOLDER / "merges.txt"), model_max_length=77)
    last = len(words) - 1
    text = {**TOWER, "vocab_size": len(words), "max_position_embeddings": 77, "bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    torch.manual_seed(7)
    config = CLIPConfig(text_config=text, vision_config={**TOWER, "image_size": 64, "patch_size": 16}, projection_dim=48)
    CLIPModel(config).eval().save_pretrained(FOLDER)
    CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}), tokenizer).save_pretrained(FOLDER)


def by_transformers(model, processor, text, **options):
    inputs = processor(text=[text], return_tensors="pt", **options)
    with torch.no_grad():
        vector = model.get_text_features(**inputs)[0].numpy()
    return vector / np.linalg.norm(vector), inputs["input_ids"].shape[1]


async def by_infinity(texts):
    engine = AsyncEmbeddingEngine.from_args(
        EngineArgs(model_name_or_path=str(FOLDER), engine="torch", device="cpu", dtype="float32", model_warmup=False, bettertransformer=False)
    )
    async with engine:
        return (await engine.embed(sentences=texts))[0]


make_model()
model, processor = CLIPModel.from_pretrained(FOLDER).eval(), CLIPProcessor.from_pretrained(FOLDER)
short, long, other = asyncio.run(by_infinity([SHORT, LONG, OTHER]))
length = model.config.max_length
print(f"config.max_length {length}, text_config.max_position_embeddings {model.config.text_config.max_position_embeddings}")
own, tokens = by_transformers(model, processor, SHORT)
same = float(short @ own)
print(f"{tokens} tokens: cosine to transformers {same:.6f}")
whole, tokens = by_transformers(model, processor, LONG)
cut, _ = by_transformers(model, processor, LONG, truncation=True, max_length=20)
differs, alike = float(long @ whole), float(long @ cut)
print(f"{tokens} tokens: cosine to transformers {differs:.2f}, to transformers cut at 20 tokens {alike:.6f}")
theirs, ours = float(long @ other), float(whole @ by_transformers(model, processor, OTHER)[0])
print(f"two texts with one beginning: cosine {theirs:.6f} by Infinity, {ours:.2f} by transformers")
sys.exit(0 if length == 20 and same > 0.99999 and differs < 0.99 and alike > 0.99999 and theirs > 0.99999 and ours < 0.99 else 1)
PYTHON
