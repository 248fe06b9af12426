"""Vectors in a plane: openTSNE, umap-learn and PaCMAP beside `imgvec map`, by processor time, memory and neighbourhood kept.

Run: python -m benchmarks.maps [--rows N] [--ways NAME,NAME] [--kinds NAME,NAME]; umap-learn and pacmap are in the extra `bench`.
Vectors: unit, 512 dimensions. "generator": benchmarks/generator.py's clusters; "spectrum": no clusters, a mean, and axes whose
variance falls as 1/i. All ways but "ours", which does it by itself, are given the first 50 principal components, as openTSNE's
guide advises. Each way runs in a process of its own, after a small layout that compiles what numba compiles (told beside it).
Trustworthiness@15 (Venna and Kaski 2001, scikit-learn's definition, worked out here on SAMPLE rows against all): 1 where each of
the 15 nearest in the plane is among the 15 nearest by cosine. Processor time is of all threads; the peak is the process's
resident memory, also beyond what it had before the layout. With --rows above 100,000 only "ours" runs unless --ways names others.
The table printed is kept in benchmarks/results/maps.txt.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.duplicates import spectrum
from benchmarks.generator import generate

Floats = npt.NDArray[np.float32]
NEIGHBOURS = 15
SAMPLE = 2000
COMPONENTS = 50
MANY = 100_000


def components(vectors: Floats) -> Floats:
    """Return the first principal components, shape (n, COMPONENTS)."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(centred @ axes[:, ::-1][:, :COMPONENTS])


def by_opentsne(vectors: Floats) -> Floats:
    """openTSNE with its own defaults."""
    from openTSNE import TSNE

    return np.asarray(TSNE(n_jobs=2, random_state=7).fit(components(vectors)), dtype=np.float32)


def by_umap(vectors: Floats) -> Floats:
    """umap-learn with its own defaults (15 neighbours); without a seed, which would keep it to one thread."""
    from umap import UMAP

    return np.asarray(UMAP(n_jobs=2).fit_transform(components(vectors)), dtype=np.float32)


def by_pacmap(vectors: Floats) -> Floats:
    """PaCMAP with its own defaults."""
    import pacmap

    found = pacmap.PaCMAP(random_state=7).fit_transform(components(vectors), init="pca")
    return np.asarray(found, dtype=np.float32)


def by_ours(vectors: Floats) -> Floats:
    """`imgvec map`'s own layout."""
    from imgvec_pg.maps.layout import lay_out

    return lay_out(vectors.astype(np.float16), seed=7).places


WAYS: dict[str, Callable[[Floats], Floats]] = {
    "ours": by_ours,
    "openTSNE": by_opentsne,
    "umap-learn": by_umap,
    "PaCMAP": by_pacmap,
}


def make(kind: str, rows: int) -> Floats:
    """Return the vectors of one kind."""
    return spectrum(rows) if kind == "spectrum" else generate(rows)[0].astype(np.float32)


def trustworthiness(vectors: Floats, places: Floats, k: int = NEIGHBOURS) -> float:
    """Return scikit-learn's measure, of a sample of rows against all."""
    count = len(vectors)
    rows = np.random.default_rng(1).permutation(count)[:SAMPLE]
    worst = k * (2 * count - 3 * k - 1) / 2
    lost = 0.0
    step = max(1, 20_000_000 // count)
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        near = vectors[some] @ vectors.T
        near[np.arange(len(some)), some] = -np.inf
        apart = (places[some, 0][:, None] - places[:, 0]) ** 2 + (
            places[some, 1][:, None] - places[:, 1]
        ) ** 2
        apart[np.arange(len(some)), some] = np.inf
        shown = np.argpartition(apart, k, axis=1)[:, :k]
        own = np.take_along_axis(near, shown, axis=1)
        for row in range(len(some)):
            ranks = (near[row][None] > own[row][:, None]).sum(axis=1) + 1
            lost += float(np.maximum(ranks - k, 0).sum())
    return 1 - lost / (len(rows) * worst)


def measure(kind: str, rows: int, way: str) -> dict[str, Any]:
    """Lay out once, in this process."""
    warnings.simplefilter("ignore")
    began = time.process_time()
    WAYS[way](make(kind, 1000))
    ready = time.process_time() - began
    vectors = make(kind, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, clock = time.process_time(), time.monotonic()
    places = WAYS[way](vectors)
    cpu, clock = time.process_time() - cpu, time.monotonic() - clock
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = trustworthiness(vectors, places)
    return {
        "ready": ready,
        "cpu": cpu,
        "clock": clock,
        "memory": (after - before) / 1024,
        "total": after / 1024,
        "kept": kept,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--ways")
    parser.add_argument("--kinds", default="generator,spectrum")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], given.rows, given.one[1])))
        return
    ways = (given.ways or ("ours" if given.rows > MANY else ",".join(WAYS))).split(",")
    print(f"{given.rows:,} rows, 512 dimensions")
    heads = ("CPU s", "clock s", "MiB more", "MiB in all", "kept@15", "first CPU s")
    print(f"{'vectors':10} {'way':11} " + " ".join(f"{head:>11}" for head in heads))
    for kind in given.kinds.split(","):
        for way in ways:
            command = [sys.executable, "-m", "benchmarks.maps", "--rows", str(given.rows), "--one", kind, way]
            # Threads that wait for each other would be counted as working.
            environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            one = json.loads(done.stdout.splitlines()[-1])
            figures = [f"{one[name]:11.1f}" for name in ("cpu", "clock", "memory", "total")]
            figures += [f"{one['kept']:11.4f}", f"{one['ready']:11.1f}"]
            print(f"{kind:10} {way:11} " + " ".join(figures), flush=True)


if __name__ == "__main__":
    main()
