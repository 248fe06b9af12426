"""Measure how long a new product takes to be found while a worker runs."""

import time

from imgvec_pg.database.connect import Connection
from imgvec_pg.demo.background import BackgroundWorker
from imgvec_pg.demo.examples import DemoQuery, StatementResult, run_example
from imgvec_pg.errors import ImgvecError

POLL_SECONDS = 0.02
GIVE_UP_AFTER_SECONDS = 60.0


def wait_until_found(
    connection: Connection, question: DemoQuery, product_id: int, worker: BackgroundWorker
) -> tuple[StatementResult, float]:
    """Ask until the product is among the answers; return the answer and the seconds since now.

    Raises:
        ImgvecError: It is not found within a minute.
    """
    began = time.monotonic()
    while time.monotonic() - began < GIVE_UP_AFTER_SECONDS:
        answer = run_example(connection, question)
        if any(row[0] == product_id for row in answer.rows):
            return answer, time.monotonic() - began
        if not worker.is_working(POLL_SECONDS):
            break
    raise ImgvecError(
        f"product {product_id} was not found within {GIVE_UP_AFTER_SECONDS:.0f} s of its arrival: "
        "imgvec failures product_demo may say why; imgvec demo --reset starts anew"
    )
