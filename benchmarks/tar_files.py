"""The built-in library from pictures in tars against the same pictures as files: processor time of listing and of a fill.

Run: python benchmarks/tar_files.py [--pictures 3000] [--turns 3]

JPEGs of 384 x 288, in one folder and as img2dataset's tars of 1,000 samples (.jpg, .json, .txt). In turns, `imgvec add`, a second
`imgvec add` and `imgvec backfill` with the demo's model are run over each. Processor time (user and system) of the commands and
of their decoding processes, not of the server; starts are in it. The table printed is kept in benchmarks/results/tar_files.txt.
"""

import argparse
import io
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from PIL import Image

TESTS = Path(__file__).resolve().parent.parent / "tests"
for folder in ("chaos", "support"):
    sys.path.insert(0, str(TESTS / folder))

from own import own_server  # noqa: E402
from tar_files import write_tar  # noqa: E402

SAMPLES = 1000


def photograph(draw: random.Random) -> bytes:
    """Return a JPEG with large and small detail, some 25 KB."""
    small = Image.frombytes("RGB", (48, 36), draw.randbytes(48 * 36 * 3))
    buffer = io.BytesIO()
    small.resize((384, 288), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def write_pictures(root: Path, count: int) -> None:
    """Write the pictures twice: below files/ and below tars/."""
    (root / "files").mkdir()
    draw = random.Random(5)
    for start in range(0, count, SAMPLES):
        members = []
        for number in range(start, min(start + SAMPLES, count)):
            data = photograph(draw)
            (root / "files" / f"{number:09d}.jpg").write_bytes(data)
            described = [("json", b'{"key": "%d"}' % number * 20), ("txt", b"a caption of some words")]
            members += [(f"{number:09d}.{kind}", text) for kind, text in [("jpg", data), *described]]
        write_tar(root / "tars" / f"{start // SAMPLES:05d}.tar", members)


def processor_seconds(*command: str) -> float:
    """Run a command of imgvec's and return what it computed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "imgvec_pg", *command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="imgvec-tars-"))
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    try:
        write_pictures(root, options.pictures)
        with own_server(settings={"shared_buffers": "256MB"}) as own:
            os.environ["IMGVEC_DSN"] = own.dsn
            processor_seconds("migrate")
            processor_seconds("collection", "create", "image", "--library", "--model", "demo")
            for turn in range(options.turns):
                for kind in ("files", "tars") if turn % 2 else ("tars", "files"):
                    place = str(root / kind)
                    found["add", kind].append(processor_seconds("add", place))
                    found["add again", kind].append(processor_seconds("add", place))
                    found["backfill", kind].append(processor_seconds("backfill", "image", "--no-index"))
                    processor_seconds("library", "forget", place, "--yes")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(
        f"{options.pictures:,} JPEGs of 384 x 288, median of {options.turns} turns; ms of processor time a picture"
    )
    print(f"{'':10}{'files':>8}{'tars':>8}{'ratio':>8}")
    for step in ("add", "add again", "backfill"):
        files, tars = (median(found[step, kind]) * 1000 / options.pictures for kind in ("files", "tars"))
        print(f"{step:10}{files:8.2f}{tars:8.2f}{tars / files:8.2f}")


if __name__ == "__main__":
    main()
