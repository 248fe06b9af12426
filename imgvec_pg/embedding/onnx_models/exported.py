"""Exported image encoders in a cache on this machine, and what was measured of them. Imports neither torch nor onnxruntime."""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from imgvec_pg import settings
from imgvec_pg.embedding.checksums import sha256_of
from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.resize import Resize

AUTO, TORCH, ONNX, OPENVINO = "auto", "torch", "onnx", "openvino"
INT8 = "int8"
INSTALL_ONNX = "pip install 'imgvec-pg[onnx]'"
INSTALL_OPENVINO = "pip install 'imgvec-pg[openvino]'"
LEAST_COSINE = 0.99999
"""To torch in fp32 on the golden pictures: what differs more is another rounding than fp32's."""
NOT_KEPT = "its export cannot be kept, see the log"
FORMAT = 1
"""Of the record; another one is exported anew."""
PACKAGES = ("onnxruntime", "onnxscript", "torch", "timm", "open_clip_torch")
OPTIONAL_PACKAGES = ("openvino",)
"""Part of a key where they are installed, so that what was measured without them stays of use where they are not."""
TORCH_START_SECONDS = 4.0
"""What torch takes longer than ONNX Runtime to be imported and to begin: 4.9 s for ViT-B-32 in bf16 on two cores, 3.8 without its
words (benchmarks/results/fill.txt, row 9)."""
LARGEST_CONFIGURATION = 10_000_000
"""Bytes: a larger file beside a model's configuration is its weights, which have their own checksum."""


@dataclass(frozen=True, kw_only=True)
class ByOpenVino:
    """What OpenVINO makes of an export in one precision.

    Attributes:
        precision: "fp32" or "bf16".
        cosine: The least to torch in fp32 on the golden pictures; 0 where it was not measured.
        rate: Images a second, prepared, on this CPU, in turns with the export's others; 0 where it was not measured.
        reason: Why it is not to be used in this precision, under whatever runtime is asked for; "" where it may be.
    """

    precision: str
    cosine: float = 0.0
    rate: float = 0.0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export: how pictures are prepared for it, how right and how fast it was on this CPU, and why it is not used.

    Attributes:
        key: Of model, weights and packages; see `cache_key`.
        fingerprint: The model's, as torch's embedder gives it: what both compute is the same.
        image_size: Height and width of the input in pixels.
        resize: First step of the preprocessing.
        cosine: The least to torch in fp32 on the golden pictures.
        onnx_rate: Images a second, prepared, on this CPU.
        torch_rate: Those of torch, in `torch_precision`.
        openvino: What OpenVINO makes of it, where it is installed: in `torch_precision`; then in fp32 where that may not be used.
        precision: "fp32", or "int8", whose `cosine` is to the fp32 export.
        golden: In int8: what the fp32 export makes of the golden pictures, shape (3, dimensions).
        quantised_share: In int8: of the weights, 0 to 1, how many are.
        sha256: Of the exported file; "" where there is none that may be used, under whatever runtime is asked for.
        reason: Why there is no export, or why ONNX Runtime does not use it; "" where it may.
    """

    key: str
    model: str
    weights_sha256: str
    cpu: str
    format: int = FORMAT
    fingerprint: str = ""
    dimensions: int = 0
    has_text: bool = False
    logit_scale: float | None = None
    logit_bias: float | None = None
    image_size: tuple[int, int] = (0, 0)
    resize: Resize | None = None
    cosine: float = 0.0
    onnx_rate: float = 0.0
    torch_rate: float = 0.0
    torch_precision: str = "fp32"
    sha256: str = ""
    reason: str = ""
    precision: str = "fp32"
    golden: list[list[float]] = field(default_factory=list)
    quantised_share: float = 0.0
    openvino: list[ByOpenVino] = field(default_factory=list)

    @property
    def by_openvino(self) -> ByOpenVino | None:
        """What OpenVINO computes in, where it may."""
        return next((each for each in self.openvino if not each.reason), None)

    def is_openvino_faster(self, precision: str) -> bool:
        """Return whether OpenVINO is the fastest of what may compute in a precision that was asked for.

        Args:
            precision: "auto", "fp32" or "bf16", which ONNX Runtime does not compute in.
        """
        found = self.by_openvino
        if found is None or precision not in {"auto", found.precision}:
            return False
        return found.rate > (self.torch_rate if precision == "bf16" else max(self.torch_rate, self.onnx_rate))

    @property
    def onnx_below(self) -> int:
        """Of how many images fewer a slower export has all done before torch, which is slow to start; 0 of none.

        Where OpenVINO computes, or has more of them done, there is no start of torch to be spared.
        """
        found = self.by_openvino
        return 0 if found and found.rate > self.onnx_rate else self._done_before_torch(self.onnx_rate)

    @property
    def openvino_below(self) -> int:
        """The same of OpenVINO, where it is slower than torch and no slower than ONNX Runtime."""
        found = self.by_openvino
        return self._done_before_torch(found.rate) if found and found.rate > self.onnx_rate else 0

    def _done_before_torch(self, rate: float) -> int:
        if not self.sha256 or not 0 < rate <= self.torch_rate:
            return 0
        a_picture = 1 / rate - 1 / self.torch_rate
        return round(TORCH_START_SECONDS / max(a_picture, 1e-9))


def has_onnx_extra() -> bool:
    """Return whether the extra `onnx` is installed. Imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnxruntime", "onnxscript"))


def has_openvino_extra() -> bool:
    """Return whether the extra `openvino` is installed, which reads what the extra `onnx` exports. Imports nothing."""
    return has_onnx_extra() and importlib.util.find_spec("openvino") is not None


@cache
def cpu_name() -> str:
    """Return what this CPU calls itself: what was measured on another one says nothing here."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cache_key(model: ModelDescription, weights_sha256: str, precision: str) -> str:
    """Return SHA-256 (hex) over all that an export depends on.

    Args:
        precision: Torch's, which an fp32 export has as its rival, or "int8" for the quantised one.
    """
    name = model.name if model.folder is None else ""
    installed = [package for package in OPTIONAL_PACKAGES if importlib.util.find_spec(package) is not None]
    parts = [name, weights_sha256, precision, *map(_version, (*PACKAGES, *installed))]
    if model.folder is not None:
        # The configuration and the tokenizer of a folder may change beside the same weights.
        files = sorted(path for path in model.folder.iterdir() if path.is_file())
        parts += [
            f"{path.name} {sha256_of(path)}" for path in files if path.stat().st_size < LARGEST_CONFIGURATION
        ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package


def model_path(key: str) -> Path:
    """Return where the exported file of a key is, or would be."""
    return settings.cache_directory() / "onnx" / f"{key[:32]}.onnx"


def has_exports() -> bool:
    """Return whether anything was ever exported into the cache."""
    try:
        return model_path("").parent.is_dir()
    except OSError:
        return False  # a folder of somebody else's, or no home at all


def read_export(key: str) -> Export | None:
    """Return what is on record of a key on this CPU, None where nothing is, or it is of another CPU or damaged."""
    try:
        stored = json.loads(model_path(key).with_suffix(".json").read_text(encoding="utf-8"))
        resize = stored.pop("resize")
        height, width = stored.pop("image_size")
        size = (int(height), int(width))
        openvino = [ByOpenVino(**each) for each in stored.pop("openvino", [])]
        found = Export(
            **stored, openvino=openvino, image_size=size, resize=None if resize is None else Resize(**resize)
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if (found.format, found.key, found.cpu) != (FORMAT, key, cpu_name()):
        return None
    if not found.sha256:
        return found
    with suppress(OSError):
        if sha256_of(model_path(key)) == found.sha256:
            return found
    return None


def write_export(export: Export) -> None:
    """Record an export, whose file is in its place already.

    Raises:
        OSError: The cache cannot be written to.
    """
    path = model_path(export.key).with_suffix(".json")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(f".json.{os.getpid()}")
    partial.write_text(json.dumps(asdict(export), indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def link_export(twins: Iterable[str], key: str) -> bool:
    """Give a key the file of the first of other keys that has one: the same network, measured beside another rival.

    Raises:
        OSError: The cache cannot be written to.
    """
    for twin in twins:
        found = read_export(twin)
        if found is None or not found.sha256:
            continue
        partial = model_path(key).with_suffix(f".onnx.{os.getpid()}")
        try:
            try:
                os.link(model_path(twin), partial)
            except OSError:
                # A file system without links.
                shutil.copyfile(model_path(twin), partial)
            partial.replace(model_path(key))
        finally:
            partial.unlink(missing_ok=True)
        return True
    return False


def delete_superseded(export: Export) -> None:
    """Delete what was exported of the same model and weights by other versions of the packages.

    Raises:
        OSError: The cache cannot be written to.
    """
    for path in model_path(export.key).parent.glob("*.json"):
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        same = stored.get("precision", "fp32") == export.precision and all(
            stored.get(name) == getattr(export, name)
            for name in ("model", "weights_sha256", "torch_precision")
        )
        if same and stored.get("key") != export.key:
            for suffix in (".json", ".onnx", ".lock"):
                path.with_suffix(suffix).unlink(missing_ok=True)


def delete_export(key: str) -> None:
    """Delete an export, where there is one."""
    for suffix in (".json", ".onnx", ".lock"):
        model_path(key).with_suffix(suffix).unlink(missing_ok=True)


MAY_DIE = 2
"""Processes that may be killed while they export a model, as for its memory or by a stop; then torch computes it."""


@contextmanager
def counted(key: str) -> Iterator[int]:
    """Count who is killed within the block, with `alone` around it; give how many were before, and delete what they left.

    Raises:
        OSError: The cache cannot be written to.
    """
    path = model_path(key).with_suffix(".begun")
    for left in path.parent.glob(f"{path.stem}.onnx.*"):
        left.unlink(missing_ok=True)
    before = path.stat().st_size if path.exists() else 0
    with path.open("ab") as file:
        file.write(b".")
    try:
        yield before
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def alone(key: str) -> Iterator[None]:
    """Let one process of this machine at a time export a model; the others wait and find it done.

    Raises:
        OSError: The cache cannot be written to.
    """
    path = model_path(key).with_suffix(".lock")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
