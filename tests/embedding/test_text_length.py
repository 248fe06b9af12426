"""How many tokens a text has: as OpenCLIP's tokenizers count, before they cut."""

from pathlib import Path

import numpy as np
import pytest
from test_openclip_text_tower import write_tiny_multilingual
from tinymodel import write_tiny_model

from imgvec_pg.embedding.embedder import Embedder, describe_truncation
from imgvec_pg.embedding.load import load_embedder

KINDS = ("byte pairs", "of the hub", "demo")


def load(kind: str, folder: Path) -> Embedder:
    if kind == "demo":
        return load_embedder("demo", device="cpu")
    make = write_tiny_multilingual if kind == "of the hub" else write_tiny_model
    return load_embedder(f"local-dir:{make(folder / 'tiny')}", device="cpu", precision="fp32")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_to_be_unread_is_unread(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    embedder = load(kind, tmp_path)
    capfd.readouterr()
    words = "a red cat"
    while describe_truncation(embedder, words) is None:
        longest, words = words, f"{words} cat"
        assert len(words) < 2000
    # One word more than the model reads: the last changes nothing, the last that fits does.
    cut = words.removesuffix("cat") + "dog"
    assert describe_truncation(embedder, cut) is not None
    first, second = embedder.embed_texts([f"{words} cat cat", f"{words} cat dog"])
    np.testing.assert_allclose(first, second, atol=1e-6)
    fits, other = embedder.embed_texts([longest, longest.removesuffix("cat") + "dog"])
    assert not np.allclose(fits, other, atol=1e-6)
    assert capfd.readouterr().err == ""
