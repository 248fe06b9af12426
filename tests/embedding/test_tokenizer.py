"""SigLIP reads words through a tokenizer of its own, or not at all."""

import importlib.util
import sys
from pathlib import Path

import pytest

from imgvec_pg.embedding.hub import hub_files as hub
from imgvec_pg.embedding.openclip_names import architecture_config
from imgvec_pg.embedding.torch_models import tokenizer
from imgvec_pg.embedding.torch_models.tokenizer import load_tokenizer, tokenizer_identity
from imgvec_pg.errors import MissingExtraError, ModelError, WeightsMissingError

SIGLIP = architecture_config("ViT-B-16-SigLIP")["text_cfg"]
NAME = "ViT-B-16-SigLIP/webli"


def test_siglip_without_transformers_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'imgvec-pg\[siglip\]'"):
        load_tokenizer(NAME, SIGLIP, None, own_files=False)


def test_siglips_tokenizer_out_of_reach_is_a_quick_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())  # as if transformers were there
    monkeypatch.setattr(tokenizer, "cached_file", lambda *_: None)
    monkeypatch.setattr(hub, "is_offline", lambda: True)
    with pytest.raises(WeightsMissingError, match="hf download timm/ViT-B-16-SigLIP --include") as caught:
        load_tokenizer(NAME, SIGLIP, None, own_files=False)
    assert "\n" not in str(caught.value)


def test_tokenizers_are_told_apart_by_name_or_by_content(tmp_path: Path) -> None:
    assert tokenizer_identity(NAME, SIGLIP, None) == {"hub": "timm/ViT-B-16-SigLIP"}
    assert list(tokenizer_identity("x", {"vocab_size": 49408}, None)) == ["bpe_simple_vocab_16e6.txt.gz"]
    (tmp_path / "tokenizer.json").write_text("{}")
    assert list(tokenizer_identity(NAME, SIGLIP, tmp_path)) == ["tokenizer.json"]


def test_architecture_without_a_named_tokenizer_never_falls_to_clips() -> None:
    text = architecture_config("coca_base")["text_cfg"]  # 64,000 tokens, of a tokenizer nobody names
    with pytest.raises(ModelError, match="a vocabulary of 64000 tokens"):
        load_tokenizer("coca_base/x", text, None, own_files=False)
