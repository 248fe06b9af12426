"""Requests to the server of a model: retried where it says "later", several at once, and what each status means."""

import email.utils
import json
import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

from imgvec_pg.embedding.remote.answers import told_by
from imgvec_pg.embedding.remote.connection import (
    NotFoundError,
    NotServedError,
    Reply,
    Request,
    ServerConnection,
)
from imgvec_pg.errors import ModelAwayError, ModelError
from imgvec_pg.settings import embedder_key, whole_number

Item = TypeVar("Item")
Result = TypeVar("Result")

TRIES = 4
FIRST_PAUSE_SECONDS = 0.5
"""Before a second try, twice as long each time, with jitter; Retry-After where a server says it."""
LONGEST_PAUSE_SECONDS = 30.0
"""A server that asks for more is away: the worker waits for it, and stops at once when it is told to."""
LATER = (408, 425, 429, 502, 503, 504)


class RejectedError(ModelError):
    """The server refused or failed on these inputs; with fewer or others it may not."""


class TooLargeError(RejectedError):
    """The server wants a smaller request."""


class Client:
    """Asks one server; safe in any number of threads. Idle connections are kept, and closed with it.

    Args:
        url: Where the API is: with its path, /v1 where it has none.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[ServerConnection] = []
        self.shown = ServerConnection(url).shown
        self.seconds = float(whole_number("IMGVEC_EMBEDDER_SECONDS", 60, 3600))
        self.concurrency = whole_number("IMGVEC_EMBEDDER_REQUESTS", 4, 64)
        self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="imgvec-embedder")
        weakref.finalize(self, _close, self._pool, self._idle)

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Do work for each item, so many at once as there may be requests; the first error of any is raised.

        Nothing more is begun after an error; what is under way is waited for.
        """
        futures = [self._pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def post(self, path: str, payload: Mapping[str, object]) -> bytes:
        """Send JSON and return the body of the answer, as send has it."""
        return self.send(Request(path, json.dumps(payload).encode())).body

    def send(self, request: Request) -> Reply:
        """Send one request, again where the server is away or says "later", and return its answer, of status 200.

        Raises:
            TooLargeError: It wants a smaller request.
            RejectedError: It refuses these inputs, or fails on them.
            ModelAwayError: It cannot be reached, or goes on to say "later".
            NotFoundError: It does not know the path, or the model.
            NotServedError: It refuses the key, or cannot be asked.
        """
        for place in range(TRIES):
            is_last = place == TRIES - 1
            pause = FIRST_PAUSE_SECONDS * 2**place * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
            try:
                answer = self._send(request)
            except ModelAwayError:
                if is_last:
                    raise
            else:
                if answer.status == 200:
                    return answer
                if (answer.status not in LATER and answer.status < 500) or is_last:
                    break
                pause = retry_after_seconds(answer.headers.get("retry-after"), pause)
                if pause > LONGEST_PAUSE_SECONDS:
                    break
            time.sleep(pause)
        raise self._refusal(request, answer)

    def _send(self, request: Request) -> Reply:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = ServerConnection(self._url)
        try:
            return connection.send(request, self.seconds)
        finally:
            self._idle.append(connection)

    def _refusal(self, request: Request, answer: Reply) -> ModelError:
        said = told_by(answer.body)
        if key := embedder_key():
            said = said.replace(key, "***")
        met = f"the server {self.shown} answered {answer.status}" + (f" ({said})" if said else "")
        if answer.status in (401, 403):
            given = "another key as" if embedder_key() else "a key as"
            return NotServedError(f"{met}: it wants {given} IMGVEC_EMBEDDER_KEY")
        if answer.status == 404:
            return NotFoundError(f"{met}: it has no such model, or no {request.path} below this URL")
        if answer.status == 413:
            return TooLargeError(f"{met}: the request is too large for it")
        if 300 <= answer.status < 400:
            return NotServedError(
                f"{met}: it redirects, which is not followed; name the URL that it leads to"
            )
        if answer.status in LATER:
            return ModelAwayError(f"{met}: it says to come again later")
        return RejectedError(met)


def _close(pool: ThreadPoolExecutor, idle: list[ServerConnection]) -> None:
    """End the threads, and hang up."""
    pool.shutdown(wait=False, cancel_futures=True)
    for connection in idle:
        connection.close()


def retry_after_seconds(value: str | None, otherwise: float) -> float:
    """Read Retry-After, seconds or a date; `otherwise` where it is missing or neither."""
    if value is None:
        return otherwise
    try:
        if value.strip().isdigit():
            return max(float(value), 0.0)
        return max(
            (email.utils.parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds(),
            0.0,
        )
    except (ValueError, TypeError, OverflowError):
        return otherwise
