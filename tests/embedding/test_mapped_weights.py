"""Weights are mapped, not copied, where the network wants them as the file has them; and nothing else is ever forgotten."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tinymodel import write_tiny_model

from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.torch_models import mapped_weights
from imgvec_pg.embedding.torch_models.mapped_weights import UnfilledParameters
from imgvec_pg.embedding.torch_models.openclip_embedder import OpenClipEmbedder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("mapped") / "tiny")


def load(folder: Path, precision: str) -> OpenClipEmbedder:
    embedder = load_embedder(f"local-dir:{folder}", device="cpu", precision=precision, runtime="torch")
    assert isinstance(embedder, OpenClipEmbedder)
    return embedder


def test_parameters_lie_in_the_mapped_file(tiny: Path) -> None:
    stored = load_file(tiny / "open_clip_model.safetensors")
    for name, parameter in load(tiny, "fp32").network.named_parameters():
        assert torch.equal(parameter, stored[name]), name
        assert mapped_weights._mapped_file(parameter.data_ptr()), name


def test_weights_in_another_precision_are_converted_and_the_file_stays(tiny: Path) -> None:
    before = (tiny / "open_clip_model.safetensors").read_bytes()
    stored = load_file(tiny / "open_clip_model.safetensors")
    for name, parameter in load(tiny, "bf16").network.named_parameters():
        assert torch.equal(parameter.float(), stored[name].to(parameter.dtype).float()), name
        # OpenCLIP keeps some in fp32.
        is_mapped = bool(mapped_weights._mapped_file(parameter.data_ptr()))
        assert is_mapped == (parameter.dtype == torch.float32), name
    assert (tiny / "open_clip_model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "build",
    [
        lambda: torch.nn.Linear(8, 8),
        lambda: torch.nn.Conv2d(3, 8, 2),
        lambda: torch.nn.Embedding(8, 8),
        lambda: torch.nn.MultiheadAttention(8, 2),
        lambda: torch.nn.init.trunc_normal_(torch.empty(8, 8)),
        lambda: torch.nn.init.xavier_normal_(torch.empty(8, 8)),
        lambda: torch.nn.init.kaiming_normal_(tensor=torch.empty(8, 8)),
    ],
    ids=["linear", "convolution", "words", "attention", "trunc_normal_", "xavier_normal_", "kaiming_normal_"],
)
def test_no_random_numbers_are_drawn_for_what_a_file_replaces(build: Callable[[], object]) -> None:
    before = torch.random.get_rng_state()
    with UnfilledParameters():
        built = build()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert isinstance(built, torch.nn.Module | torch.Tensor)
    build()
    assert not torch.equal(torch.random.get_rng_state(), before)


def convert(loaded: torch.Tensor) -> None:
    """Load a tensor into a parameter of another type, twice: tied weights are."""
    expected = loaded.clone()
    for _ in range(2):
        parameter = torch.nn.Parameter(torch.empty(loaded.shape, dtype=torch.bfloat16), requires_grad=False)
        with UnfilledParameters():
            parameter.copy_(loaded)
        assert torch.equal(parameter, expected.to(torch.bfloat16))
    assert torch.equal(loaded, expected)


def test_what_was_forgotten_comes_back_from_the_file_and_other_memory_is_kept(tmp_path: Path) -> None:
    made = torch.arange(40_000, dtype=torch.float32)
    convert(made)
    save_file({"x": made}, tmp_path / "x.safetensors")
    mapped = load_file(tmp_path / "x.safetensors")["x"]
    assert mapped_weights._mapped_file(mapped.data_ptr())
    convert(mapped)


def test_a_view_of_other_strides_is_copied() -> None:
    loaded = torch.arange(6.0).reshape(2, 3).t()
    parameter = torch.nn.Parameter(torch.empty(3, 2), requires_grad=False)
    with UnfilledParameters():
        parameter.copy_(loaded)
    assert parameter.stride() == (2, 1)
    assert torch.equal(parameter, loaded)
