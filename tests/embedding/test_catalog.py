"""Naming models, which needs neither torch nor weights."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from imgvec_pg.embedding import plugins
from imgvec_pg.embedding.catalog import CATALOGUE, describe_model
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ModelError, ModelNotFoundError, UsageError


def test_naming_models_imports_neither_torch_nor_open_clip() -> None:
    script = (
        "import sys\n"
        "import imgvec_pg.embedding.load\n"
        "from imgvec_pg.embedding.catalog import CATALOGUE, describe_model\n"
        "assert [describe_model(name).name for name in CATALOGUE] == list(CATALOGUE)\n"
        "for name in ('nonsense', 'ViT-B-32', 'ViT-L14/openai'):\n"
        "    try:\n"
        "        describe_model(name)\n"
        "    except Exception as error:\n"
        "        assert type(error).__name__ == 'ModelNotFoundError', error\n"
        "    else:\n"
        "        raise AssertionError(name)\n"
        "found = {'torch', 'torchvision', 'open_clip', 'timm', 'transformers'} & sys.modules.keys()\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_catalogued_model_tells_its_dimensions_and_size() -> None:
    model = describe_model("ViT-SO400M-14-SigLIP-384/webli")
    assert (model.dimensions, model.image_size, model.has_text) == (1152, (384, 384), True)
    assert model is CATALOGUE[model.name]


def test_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"no architecture 'ViT-L14': the nearest names are .*ViT-L-14"
    ):
        describe_model("ViT-L14/laion2b_s32b_b82k")
    with pytest.raises(ModelNotFoundError, match="a name looks like ViT-L-14/laion2b_s32b_b82k"):
        describe_model("../../etc/passwd")


def test_architecture_alone_is_told_what_it_lacks() -> None:
    with pytest.raises(
        ModelNotFoundError,
        match=r"ViT-B-32 is an architecture, not a model: .* too, ViT-B-32/laion2b_s34b_b79k;",
    ):
        describe_model("ViT-B-32")


@pytest.mark.parametrize("name", ["", "dmo", "clip"])
def test_unknown_word_is_an_error(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no model"):
        describe_model(name)


class Ours:
    """A team's own embedder, as far as loading looks at it."""

    name = "ours"
    dimensions = 3
    fingerprint = "f" * 64
    precision = "fp32"
    has_text = False
    logit_scale = None
    logit_bias = None

    def __init__(self, device: str, precision: str) -> None:
        self.options = (device, precision)


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that makes objects of this module known as embedders called "ours"."""

    def register(*objects: str) -> None:
        points = [EntryPoint("ours", f"{__name__}:{name}", plugins.ENTRY_POINT_GROUP) for name in objects]
        monkeypatch.setattr(
            plugins, "entry_points", lambda group, name: [point for point in points if point.name == name]
        )

    return register


def test_entry_point_is_an_embedder(offer: Callable[..., None]) -> None:
    offer("Ours")
    embedder: Any = load_embedder("ours", device="cpu", precision="fp32")
    assert embedder.options == ("cpu", "fp32")
    model = describe_model("ours")
    assert (model.name, model.dimensions, model.has_text) == ("ours", 3, False)
    with pytest.raises(UsageError, match="brings its own weights"):
        load_embedder("ours", weights="x.safetensors")


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (("Missing",), "failed to load"),
        (("dict",), "lacks name, dimensions, fingerprint, has_text"),
        (("Ours", "pytest"), "claimed by several packages"),
    ],
)
def test_broken_entry_point_is_a_clear_error(
    objects: tuple[str, ...], message: str, offer: Callable[..., None]
) -> None:
    offer(*objects)
    with pytest.raises(ModelError, match=message):
        load_embedder("ours")


dict = dict  # an entry point names something of this module
