"""Words in plain SQL, by benchmarks/words.py in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from searching.target import Target

SCRIPT = Path(__file__).parent.parent / "words.py"


def measure() -> Iterator[Target]:
    """Give its cases as targets: milliseconds more than a bound vector, or than the model alone."""
    run = subprocess.run([sys.executable, SCRIPT, "--json"], stdout=subprocess.PIPE, check=False)
    for result in json.loads(run.stdout)["results"]:
        note = f"{result['sql_p50_ms']:.2f} against {result['other_p50_ms']:.2f} ms"
        yield Target(
            "words", f"{result['case']}: ms more", result["more_p50_ms"], result["target_ms"], True, note
        )
