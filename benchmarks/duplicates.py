"""All pairs of near-duplicates: exact and fast, against blocked brute force (numpy, torch) and faiss's range search.

Run: python -m benchmarks.duplicates [--rows N,N] [--rounds N] [--threshold T] [--ways NAME,NAME] [--json FILE];
faiss takes the extra `bench`.
Vectors: unit, 512 dimensions, stored as halves. "spectrum": a mean, and axes whose variance falls as 1/i, so that random pairs
have cosine 0.50 +- 0.10; "generator": benchmarks/generator.py's clusters. 5 % of the rows are others with noise, or copies.
Each way runs in turn, in a process of its own; medians of processor time (of all threads) and of time by the clock are printed,
and recall and precision against the exact pairs, without those within 1e-6 of the threshold: the peers' products are float32.
The table printed is kept in benchmarks/results/duplicates.txt.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.generator import generate
from imgvec_pg.duplicates.pairs import find_pairs, similarities

Halves = npt.NDArray[np.float16]
Found = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
DIMENSIONS = 512
BLOCK = 4096
CLOSE = 1e-6


def spectrum(rows: int) -> npt.NDArray[np.float32]:
    """Return unit vectors around a mean, the variance of axis i as 1/i; random pairs have cosine 0.50 +- 0.10."""
    random = np.random.default_rng(7)
    scales = np.sqrt(1 / np.arange(1, DIMENSIONS + 1))
    scales /= np.linalg.norm(scales)
    mean = random.normal(size=DIMENSIONS)
    vectors = random.standard_normal((rows, DIMENSIONS), dtype=np.float32)
    for first in range(0, rows, BLOCK):
        block = vectors[first : first + BLOCK]
        block *= scales.astype(np.float32)
        block += (mean / np.linalg.norm(mean)).astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def planted(vectors: npt.NDArray[np.float32]) -> Halves:
    """Make the last 5 % near-duplicates of others: cosine 0.93 to 1."""
    random = np.random.default_rng(8)
    count = len(vectors) // 20
    noise = random.standard_normal((count, DIMENSIONS), dtype=np.float32) / np.float32(np.sqrt(DIMENSIONS))
    noise *= random.uniform(0, 0.4, size=(count, 1)).astype(np.float32)
    vectors[-count:] = vectors[random.integers(0, len(vectors) - count, count)] + noise
    halves = np.empty(vectors.shape, dtype=np.float16)
    for first in range(0, len(vectors), BLOCK):
        block = vectors[first : first + BLOCK]
        halves[first : first + BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return halves


def make(kind: str, rows: int) -> Halves:
    """Return the vectors of one kind."""
    return planted(spectrum(rows) if kind == "spectrum" else generate(rows)[0])


def ours(vectors: Halves, threshold: float) -> Found:
    """Find pairs by the bound."""
    pairs = find_pairs(vectors, threshold)
    return pairs.first, pairs.second


def fast(vectors: Halves, threshold: float) -> Found:
    """Find most pairs, by visits of cells."""
    pairs = find_pairs(vectors, threshold, fast=True)
    return pairs.first, pairs.second


def by_blocks(
    vectors: Halves,
    compare: Callable[[int, int], tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
) -> Found:
    """Compare each block with those behind it."""
    found = []
    for first in range(0, len(vectors), BLOCK):
        for second in range(first, len(vectors), BLOCK):
            left, right = compare(first, second)
            left, right = left + first, right + second
            found.append((left[left < right], right[left < right]))
    return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])


def with_numpy(vectors: Halves, threshold: float) -> Found:
    """Multiply all rows by all rows."""
    wide = unit_floats(vectors)
    limit = np.float32(threshold)

    def compare(first: int, second: int) -> Found:
        left, right = np.nonzero(wide[first : first + BLOCK] @ wide[second : second + BLOCK].T >= limit)
        return left, right

    return by_blocks(vectors, compare)


def with_torch(vectors: Halves, threshold: float) -> Found:
    """Do the same by torch."""
    import torch

    wide = torch.from_numpy(unit_floats(vectors))

    def compare(first: int, second: int) -> Found:
        products = wide[first : first + BLOCK] @ wide[second : second + BLOCK].T
        places = (products >= threshold).nonzero().numpy()
        return places[:, 0], places[:, 1]

    return by_blocks(vectors, compare)


def with_faiss(vectors: Halves, threshold: float) -> Found:
    """Search a flat index by inner product for each row, within the threshold."""
    import faiss

    wide = unit_floats(vectors)
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(wide)
    found = []
    for first in range(0, len(wide), BLOCK):
        limits, _, others = index.range_search(wide[first : first + BLOCK], threshold)
        rows = np.repeat(np.arange(first, first + len(limits) - 1), np.diff(limits.astype(np.intp)))
        found.append((rows[rows < others], others[rows < others]))
    return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])


def unit_floats(vectors: Halves) -> npt.NDArray[np.float32]:
    """Return rows of norm 1."""
    wide = vectors.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide


WAYS = {"imgvec": ours, "fast": fast, "numpy": with_numpy, "torch": with_torch, "faiss": with_faiss}


def measure(way: str, kind: str, rows: int, threshold: float, out: str) -> None:
    """Run one way once and print what it took, as JSON; the pairs that are not at the threshold itself go to a file."""
    vectors = make(kind, rows)
    if way == "torch":
        import torch

        torch.ones(8, 8) @ torch.ones(8, 8)
    began, clock = time.process_time(), time.perf_counter()
    first, second = WAYS[way](vectors, threshold)
    seconds, elapsed = time.process_time() - began, time.perf_counter() - clock
    first, second = np.minimum(first, second), np.maximum(first, second)
    clear = np.abs(similarities(vectors, first, second) - threshold) > CLOSE
    np.save(out, np.unique(first[clear].astype(np.int64) * rows + second[clear]))
    print(json.dumps({"cpu": seconds, "clock": elapsed, "pairs": len(first)}))


def run_once(way: str, kind: str, rows: int, threshold: float, out: Path) -> dict[str, float]:
    """Measure in a process of its own: BLAS's threads and faiss's are then each way's own."""
    command = [sys.executable, "-m", "benchmarks.duplicates", "--way", way, "--kind", kind]
    command += ["--rows", str(rows), "--threshold", str(threshold), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(
    ways: list[str], kind: str, rows: int, threshold: float, rounds: int, folder: Path
) -> dict[str, float]:
    """Print the lines of one set of vectors, and return their ratios."""
    ratios: dict[str, float] = {}
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            runs[way].append(run_once(way, kind, rows, threshold, folder / f"{way}.npy"))
    own, own_clock = (statistics.median(run[name] for run in runs["imgvec"]) for name in ("cpu", "clock"))
    exact = np.load(folder / "imgvec.npy")
    for way, made in runs.items():
        cpu, clock = (statistics.median(run[name] for run in made) for name in ("cpu", "clock"))
        pairs = np.load(folder / f"{way}.npy")
        common = len(np.intersect1d(exact, pairs, assume_unique=True))
        recall, precision = common / max(len(exact), 1), common / max(len(pairs), 1)
        found = {"clock": clock / own_clock, "cpu": cpu / own, "recall": recall, "precision": precision}
        ratios |= {f"{kind} {way}: {name}": ratio for name, ratio in found.items()}
        print(
            f"{kind:<12}{rows:>9,}  {way:<8}{cpu:>9.2f}{clock:>9.2f}{made[0]['pairs']:>10,}{cpu / own:>12.2f}"
            f"{recall:>9.5f}{precision:>11.5f}",
            flush=True,
        )
    return ratios


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="20000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threshold", type=float, default=0.95)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--kind", default="spectrum,generator")
    parser.add_argument("--way", choices=WAYS, help="only measure this one")
    parser.add_argument("--out", help="where --way writes its pairs")
    parser.add_argument("--json", type=Path, help="file for the ratios, of the last --rows")
    arguments = parser.parse_args()
    if arguments.way:
        measure(arguments.way, arguments.kind, int(arguments.rows), arguments.threshold, arguments.out)
        return
    peers = ("torch", "faiss")
    ways = [way for way in arguments.ways.split(",") if way not in peers or find_spec(way)]
    load = os.getloadavg()[0]
    print(
        f"threshold {arguments.threshold:g}, {os.cpu_count()} processors, load {load:.1f} at the start, "
        f"medians of {arguments.rounds}"
    )
    print(
        f"{'vectors':<12}{'rows':>9}  {'way':<8}{'CPU s':>9}{'clock s':>9}{'pairs':>10}{'CPU / ours':>12}"
        f"{'recall':>9}{'precision':>11}"
    )
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kind.split(","):
            for rows in map(int, arguments.rows.split(",")):
                ratios |= table(ways, kind, rows, arguments.threshold, arguments.rounds, Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(ratios))


if __name__ == "__main__":
    main()
