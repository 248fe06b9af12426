"""One hash that tells models apart."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def fingerprint_model(
    weights_sha256: str,
    config: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    tokenizer: Mapping[str, str],
) -> str:
    """Return SHA-256 (hex) over all that decides a model's embeddings, save precision and device.

    The weights count as the bytes of their file: the same numbers in another dtype are another model.
    """
    parts = {
        "weights": weights_sha256,
        "model": config,
        "preprocessing": preprocessing,
        "tokenizer": tokenizer,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
