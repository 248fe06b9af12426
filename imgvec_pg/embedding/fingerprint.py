"""One hash that tells models apart."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def fingerprint_model(
    weights: Path, config: Mapping[str, Any], preprocessing: Mapping[str, Any], tokenizer: Mapping[str, str]
) -> str:
    """Return SHA-256 (hex) over all that decides a model's embeddings, save precision and device.

    The weights count as the bytes of their file: the same numbers in another dtype are another model.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    parts = {"weights": digest, "model": config, "preprocessing": preprocessing, "tokenizer": tokenizer}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
