"""The tables of docs/howto/scale.md: from a million rows to a billion, by formulas and by what was measured.

`python -m tools.docs.scale [--dimensions 768] [--memory-gb 256] [--images-per-second 400] [--gpu-price 1.2]` prints them for
other vectors, servers and GPUs. Measured is what benchmarks/ten_million.py printed. Where a figure comes from:

- Bytes of a table: PostgreSQL's page layout (24 bytes of header a page and a row, values aligned, 4 bytes a line pointer; out of
  line pieces of 1,996 bytes), held against the measured table and, for 256 to 2,048 dimensions, against tables of 4,000 rows:
  within 4 %. Bytes of indexes and memory of graphs: imgvec_pg.database.index_methods.hnsw, within 1 and 7 % of what was measured
  (benchmarks/results/index.txt).
- Index of hashes: 76 bytes a row where 500,000 random SHA-256 were inserted (59 after REINDEX), PostgreSQL 18.6.
- Processor time of a build: a line through the sizes measured, by the logarithm of the rows (HNSW descends log n layers); beyond
  the largest size it is an extrapolation. Measured with 256 dimensions.
- Latency over shards: a simulation. Each shard's time is drawn from the log-normal distribution with the measured p50 and p99, a
  search waits for the slowest; 200,000 searches, seed 7.
- Images a second of a GPU, its price and the memory of a server are parameters of the reader's own: none was measured here.
"""

import argparse
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgvec_pg.database.index_methods.hnsw import aligned, graph_bytes, index_bytes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "scale.md"
RESULTS = ROOT / "benchmarks" / "results" / "ten_million.txt"
BEGIN, END = "<!-- python -m tools.docs.scale -->", "<!-- end of python -m tools.docs.scale -->"
SIZES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
SHARDS = (1, 2, 4, 8, 16, 32)
M = 16
KEY_INDEX_BYTES, HASH_INDEX_BYTES = 31, 76
"""A row in the index of a bigint key that two connections filled, measured; and in that of hashes, see above."""
MEMORY_SHARE = 0.5
"""Of a server's memory what its index, or the graph of its build, may take: the rest is the table's pages and everything else."""
PAGE_BYTES, PAGE_HEADER, LINE_POINTER, ROW_HEADER = 8192, 24, 4, 24
TOAST_FROM, TOAST_PIECE, TOAST_PIECE_HEADER = 2000, 1996, 40
"""About from this size of a row on PostgreSQL moves its vector out of line (TOAST_TUPLE_THRESHOLD), in such pieces."""
DRAWS, SEED = 200_000, 7
P99 = 2.3263
"""Standard deviations of a normal distribution at its quantile 0.99."""


@dataclass(frozen=True)
class Measured:
    """What one size of ten_million.py took.

    Attributes:
        build: Processor time of a build in microseconds a row, by kind of index.
        table: Bytes a row of the embedding table, without its indexes.
        p50, p99: Milliseconds of search_* over bits, as it is after a build; None where it was not measured.
    """

    rows: int
    dimensions: int
    build: dict[str, float]
    table: float
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class Parameters:
    """The reader's own.

    Attributes:
        images_per_second: What one GPU embeds.
        gpu_price: Of an hour, in any currency.
    """

    dimensions: int = 256
    memory_gb: int = 64
    images_per_second: float = 500.0
    gpu_price: float = 1.0


def read_measured(text: str) -> list[Measured]:
    """Read the table that ten_million.py prints, the smallest size first."""
    sections = re.split(r"^(?=[\d,]+ rows x \d+;)", text, flags=re.MULTILINE)
    return sorted(map(_read_size, sections[1:]), key=lambda found: found.rows)


def _read_size(text: str) -> Measured:
    head = re.match(r"([\d,]+) rows x (\d+);", text)
    table = re.search(r"^ +table .*?\(([\d.]+) B a row\)", text, re.MULTILINE)
    if head is None or table is None:
        raise ValueError(
            f"no size and table in: {text[:80]!r}; expected what benchmarks/ten_million.py prints"
        )
    builds = re.findall(
        r"^ +index (?:create|rebuild), (bit|halfvec), .*?([\d,.]+) us a row", text, re.MULTILINE
    )
    search = re.search(r"search_\*, bit, ef_search as it is .*?p50 +([\d,.]+) ms +p99 +([\d,.]+) ms", text)
    p50, p99 = (None, None) if search is None else map(_number, search.groups())
    build = {kind: _number(each) for kind, each in builds}
    return Measured(int(_number(head[1])), int(head[2]), build, float(table[1]), p50, p99)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def table_bytes(dimensions: int, hash_bytes: int = 32) -> float:
    """Return the bytes a row of an embedding table with a bigint key, its vector out of line where PostgreSQL moves it there.

    Args:
        hash_bytes: Of the picture's hash, 0 for an imported vector.
    """
    vector, precision = 8 + 2 * dimensions, 5 if hash_bytes else 9
    rest = 8 + 8 + (1 + hash_bytes) + precision
    row = ROW_HEADER + rest + aligned(vector)
    outside = 0.0
    if row > TOAST_FROM:
        outside = pieces_bytes(vector)
        row = ROW_HEADER + rest + 18
    row = aligned(aligned(row) + 8 + 33)
    return PAGE_BYTES / ((PAGE_BYTES - PAGE_HEADER) // (row + LINE_POINTER)) + outside


def pieces_bytes(value: int, values: int = 1000) -> float:
    """Return the bytes that a value out of line takes on average, its pieces put into pages one after the other."""
    whole, rest = divmod(value, TOAST_PIECE)
    pages, free = 0, 0
    for _ in range(values):
        for piece in [TOAST_PIECE] * whole + [rest] * bool(rest):
            needed = aligned(piece + TOAST_PIECE_HEADER - LINE_POINTER) + LINE_POINTER
            if needed > free:
                pages, free = pages + 1, PAGE_BYTES - PAGE_HEADER
            free -= needed
    return pages * PAGE_BYTES / values


def build_microseconds(measured: list[Measured], kind: str, rows: float) -> float | None:
    """Return the processor time of a build in microseconds a row; None where no two sizes were measured."""
    points = [(math.log10(found.rows), found.build[kind]) for found in measured if kind in found.build]
    if len(points) < 2:
        return None
    slope, start = np.polyfit([x for x, _ in points], [y for _, y in points], 1)
    return float(start + max(slope, 0.0) * math.log10(rows))


def servers(rows: int, kind: str, parameters: Parameters) -> int:
    """Return how many servers keep the index, and the graph while it is built, within their share of memory."""
    quantization = None if kind == "halfvec" else kind
    least = parameters.memory_gb * 2**30 * MEMORY_SHARE
    needed = max(
        index_bytes(rows, parameters.dimensions, M, quantization),
        graph_bytes(rows, parameters.dimensions, M, quantization),
    )
    return math.ceil(needed / least)


def gigabytes(count: float) -> str:
    """Return bytes in GB (10^9), with three figures."""
    found = count / 1e9
    return f"{found:,.0f} GB" if found >= 100 else f"{found:.3g} GB"


def row_table(parameters: Parameters) -> Iterator[str]:
    """Give the table of bytes a row by dimensions."""
    yield "| dimensions | table, with its indexes | bit: index | memory to build | halfvec: index | memory to build |"
    yield "|---|---|---|---|---|---|"
    for dimensions in sorted({256, 512, 768, 1024, parameters.dimensions}):
        cells = [f"{table_bytes(dimensions) + KEY_INDEX_BYTES + HASH_INDEX_BYTES:,.0f}"]
        for quantization in ("bit", None):
            rows = 1_000_000
            cells.append(f"{index_bytes(rows, dimensions, M, quantization) / rows:,.0f}")
            cells.append(f"{graph_bytes(rows, dimensions, M, quantization) / rows:,.0f}")
        yield f"| {dimensions:,} | {' | '.join(cells)} |"


def size_table(measured: list[Measured], parameters: Parameters) -> Iterator[str]:
    """Give the table of sizes, from a million rows to a billion."""
    yield (
        f"| rows x {parameters.dimensions} | table | bit: index | servers | processor hours to build | halfvec: index | servers "
        "| processor hours to build | GPU hours | their price |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for rows in SIZES:
        cells = [gigabytes(rows * (table_bytes(parameters.dimensions) + KEY_INDEX_BYTES + HASH_INDEX_BYTES))]
        for kind, quantization in (("bit", "bit"), ("halfvec", None)):
            count = servers(rows, kind, parameters)
            each = build_microseconds(measured, kind, rows / count)
            hours = "not measured" if each is None else f"{rows * each / 3.6e9:,.2g}"
            if each is not None and rows * each / 3.6e9 >= 100:
                hours = f"{rows * each / 3.6e9:,.0f}"
            cells += [
                gigabytes(index_bytes(rows, parameters.dimensions, M, quantization)),
                f"{count:,}",
                hours,
            ]
        gpu_hours = rows / parameters.images_per_second / 3600
        cells += [f"{gpu_hours:,.1f}", f"{gpu_hours * parameters.gpu_price:,.1f}"]
        yield f"| {rows:,} | {' | '.join(cells)} |"


def shard_table(measured: list[Measured]) -> Iterator[str]:
    """Give the table of the simulation: what waiting for the slowest of several shards adds."""
    last = [found for found in measured if found.p50 and found.p99]
    if not last:
        return
    p50, p99 = last[-1].p50 or 0.0, last[-1].p99 or 0.0
    random = np.random.default_rng(SEED)
    times = np.exp(
        math.log(p50)
        + math.log(p99 / p50) / P99 * random.standard_normal((DRAWS, max(SHARDS)), dtype=np.float32)
    )
    yield "| shards | p50, of one server's | p99, of one server's |"
    yield "|---|---|---|"
    for shards in SHARDS:
        middle, high = np.quantile(times[:, :shards].max(axis=1), [0.5, 0.99])
        yield f"| {shards} | {middle / p50:.1f} | {high / p99:.1f} |"


def render_tables(parameters: Parameters, measured: list[Measured]) -> str:
    """Return the tables as the page has them."""
    built = [found.rows for found in measured if found.build]
    largest, names = max(built), ", ".join(f"{rows:,}" for rows in built)
    return "\n".join(
        [
            "Bytes a row, m 16, a bigint key:",
            "",
            *row_table(parameters),
            "",
            f"Servers of {parameters.memory_gb} GB, half of it for the index or the graph of its build; a GPU that embeds "
            f"{parameters.images_per_second:,.0f} images a second at {parameters.gpu_price:g} an hour (all three are yours to "
            f"put in); processor hours from builds of {names} rows, beyond {largest:,} extrapolated by the logarithm:",
            "",
            *size_table(measured, parameters),
            "",
            "What waiting for the slowest of several equal shards adds, simulated from the measured times of one:",
            "",
            *shard_table(measured),
        ]
    )


def render() -> str:
    """Return the page with its tables made anew."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    tables = render_tables(Parameters(), read_measured(RESULTS.read_text()))
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def main() -> None:
    """Print the tables for the parameters given."""
    own = Parameters()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dimensions", type=int, default=own.dimensions)
    parser.add_argument("--memory-gb", type=int, default=own.memory_gb)
    parser.add_argument("--images-per-second", type=float, default=own.images_per_second)
    parser.add_argument("--gpu-price", type=float, default=own.gpu_price)
    parameters = Parameters(**vars(parser.parse_args()))
    print(render_tables(parameters, read_measured(RESULTS.read_text())))


if __name__ == "__main__":
    main()
