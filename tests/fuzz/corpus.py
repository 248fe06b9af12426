"""Send Pillow's own test images through the decoding children: python tests/fuzz/corpus.py FOLDER."""

import importlib.metadata
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

from judge import Surprise, judge, require_good_one

CRASHERS = ("crash", "timeout", "oom", "decompression_bomb", "clusterfuzz", "poc", "cve", "ossfuzz")


def fetch(folder: Path) -> Path | None:
    """Return the folder with the images, downloaded once; None where there is no network."""
    version = importlib.metadata.version("pillow")
    images = folder / f"pillow-{version}" / "Tests" / "images"
    if images.is_dir():
        return images
    folder.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
    ]
    done = subprocess.run([*command, f"pillow=={version}", "-d", str(folder)], capture_output=True, text=True)
    archives = sorted(folder.glob("pillow-*.tar.gz"))
    if not archives:
        print(f"Pillow's source package cannot be had here: {done.stderr.strip().splitlines()[-1:]}")
        return None
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(folder, filter="data")
    return next(iter(sorted(folder.glob("pillow-*/Tests/images"))), None)


def main() -> int:
    """Judge every file; return 0 when none surprised."""
    images = fetch(Path(sys.argv[1]))
    if images is None:
        print("corpus: 0 files, SKIPPED (no network)")
        return 0
    files = sorted(path for path in images.rglob("*") if path.is_file())
    counts: Counter[str] = Counter()
    crashers = 0
    surprises = []
    began = time.monotonic()
    for path in files:
        crashers += any(word in path.name.lower() for word in CRASHERS)
        data = path.read_bytes()
        try:
            judge(data, counts)
        except Surprise as surprise:
            surprises.append(f"{path.name}: {surprise}")
    require_good_one()
    for line in surprises:
        print(line)
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    print(
        f"corpus: {len(files)} files ({crashers} named as crashers) in {time.monotonic() - began:.0f} s: {told}; "
        f"{len(surprises)} surprises"
    )
    return 1 if surprises or len(files) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
