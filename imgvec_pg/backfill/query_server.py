"""Query server: embeds the texts and images that SQL queries wait for, in a thread with a connection of its own.

The model computes for the backfill meanwhile: hence Embedder's rule that texts and pictures may be embedded side by side.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

import psycopg
from psycopg import sql

from imgvec_pg.backfill.batch.isolation import checked
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.database.connect import Connection, is_pooled, one_line, vector_schema
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.embedding.embedder import Embedder, describe_truncation
from imgvec_pg.errors import ImageError, ImgvecError
from imgvec_pg.images.decoding.sandbox import decode_for
from imgvec_pg.store.queue.query_requests import (
    CHANNEL,
    Answer,
    EmbeddingRequest,
    answer_request,
    claim_requests,
    drop_left_behind,
    evict_texts,
)

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""A request is seen this late at the latest: NOTIFY, which a pooler may swallow, only wakes earlier."""
AT_ONCE = 16
TIDY_SECONDS = 3600.0
RETRY_SECONDS = 1.0


class QueryServer:
    """Answers embedding requests in a thread, for as long as the `with` block lasts.

    Args:
        model_id: The model on record whose requests are answered, which the embedder has been checked to be.
        check_words: Called once before words are embedded, where that was left until they are asked for; raises ModelError
            where the model gives other vectors than those on record.
        expects_words: Call it at once, so that whoever asks first does not wait for what embeds words to be loaded.
    """

    def __init__(
        self,
        dsn: str,
        model_id: int,
        embedder: Embedder,
        silence: Silence,
        *,
        check_words: Callable[[Connection], None] | None = None,
        expects_words: bool = False,
    ) -> None:
        self.dsn = dsn
        self.silence = silence
        self.model_id = model_id
        self.embedder = embedder
        self._check_words = check_words
        self._expects_words = expects_words
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="imgvec-answer")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                with connect_worker(self.dsn, "answers", self.silence) as connection:
                    self._answer_until_done(connection)
            except (psycopg.Error, ImgvecError) as error:
                # The main thread reconnects with backoff; queries get no answer meanwhile.
                log.info("the query server lost its connection: %s", one_line(error))
                self._done.wait(RETRY_SECONDS)

    def _answer_until_done(self, connection: Connection) -> None:
        schema = vector_schema(connection)
        # Behind a pooler the session is the next application's: it is left as it is, and requests are seen by polling.
        if not is_pooled(connection):
            # Neither requests nor the cache are worth waiting for the disk.
            connection.execute("SET synchronous_commit = off")
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        tidied_at: float | None = None
        if self._expects_words and (refusal := self._refusal(connection)):
            log.warning("words are not embedded: %s", refusal)
        while not self._done.is_set():
            requests = claim_requests(connection, self.model_id, AT_ONCE)
            for request in requests:
                refusal = None if request.text is None else self._refusal(connection)
                answer = self.answer(request) if refusal is None else Answer(error=refusal)
                answer_request(connection, schema, self.model_id, self.embedder.fingerprint, request, answer)
            if requests:
                continue
            if tidied_at is None or time.monotonic() - tidied_at > TIDY_SECONDS:
                tidied_at = time.monotonic()
                drop_left_behind(connection)
                evict_texts(connection)
            for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                pass

    def _refusal(self, connection: Connection) -> str | None:
        """Check the model's words if that is still to be done, and return why they are not embedded; None where they are."""
        if self._check_words is None:
            return None
        try:
            self._check_words(connection)
        except psycopg.Error:
            raise
        except Exception as error:
            # A model of somebody's own may raise anything; the next request is checked again.
            return one_line(error)
        self._check_words = None
        return None

    def answer(self, request: EmbeddingRequest) -> Answer:
        """Embed what was asked for; what cannot be embedded gets the reason."""
        note: str | None = None
        try:
            if request.text is not None:
                note = describe_truncation(self.embedder, request.text)
                embedding = self.embedder.embed_texts([request.text])[0]
            elif request.image is not None:
                embedding = self.embedder.embed_images(
                    [decode_for(self.embedder, request.image, request.rendering)]
                )[0]
            else:
                return Answer()
        except ImgvecError as error:
            return Answer(error=one_line(error))
        except (
            Exception
        ) as error:  # a model of somebody's own may raise anything; the next request is another matter
            log.warning("%s could not embed a request: %s", self.embedder.name, one_line(error))
            return Answer(error=f"{type(error).__name__}: {one_line(error)}")
        result = checked(embedding, self.embedder)
        return (
            Answer(error=str(result))
            if isinstance(result, ImageError)
            else Answer(embedding=result, note=note)
        )
