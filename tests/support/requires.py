"""Tests that need an optional package, told without importing it.

`pytest.importorskip` at the top of a module imports the package in each process that collects the tests; openTSNE brings
scikit-learn with it, and takes a second.
"""

from importlib.util import find_spec

import pytest


def requires(package: str) -> pytest.MarkDecorator:
    """Return what skips a module's tests where the package is not installed: `pytestmark = requires("openTSNE")`."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")
