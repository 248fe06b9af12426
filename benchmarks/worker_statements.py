"""A worker without its own work: the statements of `imgvec worker`, for vectors that take no time.

benchmarks/priorities.py runs it.

It stands for a worker on another machine: claims, reads and writes of the real pipeline over real connections, while neither
decoding nor a model takes processor time here. What remains here is psycopg's and the pipeline's, some 0.3 ms a row.

Run: python benchmarks/worker_statements.py --dsn DSN [--server-share PERCENT]
"""

import argparse
import signal
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests"
for folder in ("support", "plugins"):
    sys.path.insert(0, str(TESTS / folder))

from imgvec_test_embedder import DIMENSIONS, ColorGrid  # noqa: E402
from workers import NAME  # noqa: E402

from imgvec_pg.backfill.batch import preparation  # noqa: E402
from imgvec_pg.backfill.batch.shared_decoding import PreparedPicture  # noqa: E402
from imgvec_pg.backfill.context import Allowance, PipelineOptions  # noqa: E402
from imgvec_pg.backfill.worker import Worker  # noqa: E402
from imgvec_pg.cli.throttle_options import share_of  # noqa: E402
from imgvec_pg.embedding.embedder import Embedder  # noqa: E402

MODEL = "faulty-grid"


class Elsewhere(ColorGrid):
    """The model of the benchmark's collection, which is computed elsewhere."""

    name = MODEL


def take(embedder: Embedder, data: bytes, rendering: int, bands: object) -> PreparedPicture:
    """Return what another machine would have prepared: the picture's last bytes, in which pictures differ."""
    cells = np.frombuffer(data[-4 * DIMENSIONS :].rjust(4 * DIMENSIONS), dtype=np.uint8)[::4]
    return PreparedPicture(cells.astype(np.float32), None)


def main() -> None:
    """Work until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--server-share", type=float, default=100.0)
    options = parser.parse_args()
    preparation.prepare_picture = take  # type: ignore[assignment]
    allowance = Allowance(server_share=share_of(options.server_share))
    worker = Worker(
        options.dsn,
        NAME,
        Elsewhere(),
        PipelineOptions(follow=True, allowance=allowance),
        on_ready=lambda: print("is ready", flush=True),
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.request_stop())
    worker.run()


if __name__ == "__main__":
    main()
