"""Run entries one after the other, each in a process group of its own and within its time."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.ratios.figures import Entry, Outcome

ROOT = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 10.0
"""Between two signals: SIGINT, at which a benchmark stops its server, SIGTERM, SIGKILL."""
LACKING = {
    "base": "no checkout of the build to compare with: give --base CHECKOUT, or fetch the history (git fetch --unshallow)",
    "peers": "the other program is installed where --peers DIR says, once: 2 GB",
}


def run_entries(
    entries: Sequence[Entry], places: Mapping[str, Path | None], ends_at: float
) -> Iterator[Outcome]:
    """Run each entry and give what came of it; the failure of one is its own.

    Args:
        places: "base" and "peers", see `Entry.arguments`; entries that need one that is None are not run.
        ends_at: On time.monotonic()'s clock; what has not begun by then is not run.
    """
    for entry in entries:
        left = ends_at - time.monotonic()
        lacking = [told for place, told in LACKING.items() if entry.needs(place) and places[place] is None]
        missing = [name for name in entry.modules if importlib.util.find_spec(name) is None]
        if missing:
            yield Outcome(entry, {}, 0.0, f"not installed: {', '.join(missing)}")
        elif lacking:
            yield Outcome(entry, {}, 0.0, lacking[0])
        elif left <= 0:
            yield Outcome(entry, {}, 0.0, "the time of the whole run was over", has_failed=True)
        else:
            yield _run(entry, places, min(left, entry.seconds))


def _run(entry: Entry, places: Mapping[str, Path | None], seconds: float) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="imgvec-ratios-") as made:
        folder = Path(made)
        # A server that another user runs, where root does not, goes through it.
        folder.chmod(0o755)
        figures = folder / "figures.json"
        given = [filled_in(each, {"json": figures, **places}) for each in entry.arguments]
        code, output, errors = _ended([sys.executable, *given], folder, seconds)
        text = figures.read_text() if figures.exists() else output
    told = f"not done within {seconds:.0f} s" if code is None else f"ended with {code}: {_last_line(errors)}"
    values: dict[str, float] = {}
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        # One that misses a target of its own ends with 1 and has its figures all the same; one that is ended may have some.
        values = dict(entry.read(json.loads(text)))
    known = {figure.key: values[figure.key] for figure in entry.figures if figure.key in values}
    lacking = len(entry.figures) - len(known)
    reason = f"{lacking} of {len(entry.figures)} figures are missing: {told}" if lacking else ""
    return Outcome(entry, known, time.monotonic() - began, reason, has_failed=bool(lacking))


def filled_in(argument: str, places: Mapping[str, Path | None]) -> str:
    """Return an argument with the paths that it names; other braces are its own."""
    for name, place in places.items():
        argument = argument.replace(f"{{{name}}}", str(place))
    return argument


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return " ".join(lines[-1].split())[-200:] if lines else "it said nothing"


def _ended(command: list[str], folder: Path, seconds: float) -> tuple[int | None, str, str]:
    """Run a command to its end, or end it with all that it started; return its exit code, None for that, and what it said."""
    with (folder / "output").open("w+") as output, (folder / "errors").open("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            # Whatever it leaves, its files go with the folder.
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        code: int | None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end_group(process)
        output.seek(0)
        errors.seek(0)
        return code, output.read(), errors.read()


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process's group, whatever is left of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        ends = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < ends:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
