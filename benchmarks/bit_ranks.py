"""How many candidates of an index of bits the true neighbours need, by the size of the table: ranks by Hamming distance.

Run: python benchmarks/bit_ranks.py [--rows 10000000] [--dimensions 256] [--queries 20]. No database: what an index that found
every row by its bits would give, so a bound for one that does not. For each size and number of candidates the share of the ten
nearest rows among so many rows nearest by their bits: from where all rows of equal Hamming distance come first to where the
neighbour does. Vectors: benchmarks/millions/vectors.py. Ten million rows take three minutes of one core and 1 GB. The table
printed is kept in benchmarks/results/bit_ranks.txt.
"""

import argparse

import numpy as np
from millions.vectors import Generator, make_queries, similarities

K = 10
CANDIDATES = (200, 400, 1000, 2000, 5000, 20_000)
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=SIZES[-1])
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--queries", type=int, default=20)
    options = parser.parse_args()
    generator = Generator(options.dimensions)
    queries = make_queries(generator, options.queries)
    bits = pack(queries)
    counts = np.zeros((options.queries, options.dimensions + 1), dtype=np.int64)
    nearest = np.full((options.queries, K), -2.0, dtype=np.float32)
    apart = np.zeros((options.queries, K), dtype=np.int64)
    print(
        f"share of the {K} nearest among so many rows nearest by {options.dimensions} bits, {options.queries} queries"
    )
    print(f"{'rows':>12}" + "".join(f"{count:>16,}" for count in CANDIDATES))
    seen = 0
    for _, vectors in generator.blocks(options.rows):
        found, packed = similarities(queries, vectors), pack(vectors)
        for place in range(options.queries):
            hamming = np.bitwise_count(packed ^ bits[place]).sum(axis=1).astype(np.int64)
            counts[place] += np.bincount(hamming, minlength=options.dimensions + 1)
            together = np.concatenate([nearest[place], found[place]])
            top = (
                np.argsort(-together, kind="stable")[:K]
                if len(together) <= K
                else np.argpartition(-together, K)[:K]
            )
            apart[place] = np.concatenate([apart[place], hamming])[top]
            nearest[place] = together[top]
        seen += len(vectors)
        if seen in SIZES or seen == options.rows:
            show(seen, counts, apart)


def pack(vectors: np.ndarray) -> np.ndarray:
    """Return the signs as 64-bit words, shape (rows, dimensions / 64)."""
    return np.packbits(vectors > 0, axis=1).view(np.uint64)


def show(rows: int, counts: np.ndarray, apart: np.ndarray) -> None:
    """Print the shares of one size."""
    up_to = np.cumsum(counts, axis=1)
    last = np.take_along_axis(up_to, apart, axis=1)
    first = last - np.take_along_axis(counts, apart, axis=1)
    cells = [f"{(last <= count).mean():.3f} to {(first < count).mean():.3f}" for count in CANDIDATES]
    print(f"{rows:>12,}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
