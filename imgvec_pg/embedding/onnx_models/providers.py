"""ONNX Runtime's execution providers: what computes on which device."""

import re
from collections.abc import Mapping

Provider = tuple[str, Mapping[str, str]]
CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
INSTALL_GPU = "pip install onnxruntime-gpu in place of onnxruntime"


def provider_of(device: str) -> Provider:
    """Return the provider that computes on "cpu", "cuda" or "cuda:n", and its options.

    TensorFloat-32 is left out, which onnxruntime 1.18 and later use on CUDA where nothing is said: its products have 11 bits,
    and the vectors would not be those of fp32.
    """
    match = re.fullmatch(r"cuda(?::(\d+))?", device)
    return (CPU, {}) if match is None else (CUDA, {"device_id": match[1] or "0", "use_tf32": "0"})
