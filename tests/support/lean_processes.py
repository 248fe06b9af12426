"""Processes that load a model, without transformers: as with the extra `models`, which does not bring it.

Where it is installed open_clip imports it, 0.7 s of processor time of the 4 that `imgvec search` takes with a model.
"""

import os
from collections.abc import Mapping
from pathlib import Path

ABSENT = Path(__file__).with_name("absent")


def without_transformers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment in whose Python `import transformers` raises ImportError."""
    paths = [str(ABSENT), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
