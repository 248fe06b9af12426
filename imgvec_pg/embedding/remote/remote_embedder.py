"""Embedder whose model a server has: pictures and words go there, vectors come back."""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL.Image import Image, Resampling

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.golden import GOLDEN_COSINE
from imgvec_pg.embedding.remote.client import RejectedError, TooLargeError
from imgvec_pg.embedding.remote.dialects import data_url, probes, try_out
from imgvec_pg.embedding.remote.model_name import RemoteName, parse_remote
from imgvec_pg.errors import ModelAnswerError, ModelAwayError
from imgvec_pg.settings import embedder_url

SHORTER_SIDE, LONGER_SIDE = 768, 4096
"""Pixels that a picture's sides are sent with at most; models that take more are few, and each pixel travels as PNG."""
MAX_REQUEST_BYTES = 8 << 20
TEXTS_PER_REQUEST = 64
CHECK_PICTURES, CHECK_SECONDS = 64, 30.0
"""After so many pictures, or so long, the model is asked again for a picture whose vector is known."""


class RemoteEmbedder:
    """The embedder of a model http:NAME@URL; loading it asks the server.

    Raises:
        ModelNotFoundError: The name is none, or the server embeds no pictures by it.
        ModelAwayError: The server does not answer.
        ModelAnswerError: It refuses the key, or answers what is no embedding.
    """

    precision = "remote"
    logit_scale: float | None = None
    logit_bias: float | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self._named: RemoteName = parse_remote(name)
        tried = try_out(embedder_url() or self._named.url, self._named)
        self._client = tried.dialect.client
        self._dialect, self.dimensions, self.has_text = tried.dialect, tried.dimensions, tried.has_text
        self.fingerprint = fingerprint_of(self._named, self.dimensions)
        self._known_url = data_url(probes()[0])
        self._known = self._ask_for([self._known_url])[0]
        self._lock = threading.Lock()
        self._checked_at, self._since_check = time.monotonic(), 0

    def prepare_image(self, image: Image) -> str:
        """Shrink a large picture and return it as a data URL."""
        share = min(SHORTER_SIDE / min(image.size), LONGER_SIDE / max(image.size))
        if share < 1:
            size = [max(1, round(side * share)) for side in image.size]
            image = image.resize((size[0], size[1]), Resampling.LANCZOS, reducing_gap=3.0)
        return data_url(image)

    def embed_prepared(self, prepared: Sequence[str]) -> Float32Array:
        """Embed n data URLs by requests of bounded size, several at once: shape (n, dimensions), rows of norm 1.

        Every now and then a picture goes along whose vector is known: a server that changed its model gives another.

        Raises:
            ModelError: The server refuses a picture, which is to blame if it takes others.
            ModelAwayError, ModelAnswerError: The server is to blame.
        """
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        answers = self._client.map(self._ask, list(self._requests(prepared)))
        found: Float32Array = np.concatenate(answers)
        if self._is_check_due(len(prepared)):
            self.check()
        return found

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        return self.embed_prepared([self.prepare_image(image) for image in images])

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed n texts, each within the model's query prompt: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            ModelAnswerError: The model has no words, or a vector is none.
        """
        if not self.has_text:
            raise ModelAnswerError(f"{self.name} has no text tower: ask with a picture or a row")
        chunks = [
            texts[first : first + TEXTS_PER_REQUEST] for first in range(0, len(texts), TEXTS_PER_REQUEST)
        ]
        found = [
            self._dialect.embed_texts(
                [self._named.query.replace("{}", text) for text in chunk], self.dimensions
            )
            for chunk in chunks
        ]
        vectors = np.concatenate([np.empty((0, self.dimensions), dtype=np.float32), *found])
        if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise ModelAnswerError(
                f"the server {self._client.shown} gave a vector of words that is zero or not finite"
            )
        return vectors

    def check(self) -> None:
        """Embed the known picture again.

        Raises:
            ModelAnswerError: Its vector is another than when the model was loaded.
        """
        cosine = float(np.nan_to_num(self._ask_for([self._known_url])[0] @ self._known, nan=-1.0))
        if cosine < GOLDEN_COSINE:
            raise ModelAnswerError(
                f"the server {self._client.shown} has changed its model {self._named.model}: the same picture embeds to cosine "
                f"{cosine:.4f} of before, expected {GOLDEN_COSINE}; have it serve the former one, or make a new collection"
            )

    def _is_check_due(self, pictures: int) -> bool:
        with self._lock:
            self._since_check += pictures
            now = time.monotonic()
            is_due = self._since_check >= CHECK_PICTURES or now - self._checked_at >= CHECK_SECONDS
            if is_due:
                self._checked_at, self._since_check = now, 0
            return is_due

    def _requests(self, prepared: Sequence[str]) -> Iterator[list[str]]:
        """Give the pictures of each request."""
        # As many requests at once as there may be, where the pictures suffice.
        most = min(self._dialect.images_per_request, max(1, -(-len(prepared) // self._client.concurrency)))
        request: list[str] = []
        for url in prepared:
            if request and (len(request) >= most or sum(map(len, request)) + len(url) > MAX_REQUEST_BYTES):
                yield request
                request = []
            request.append(url)
        if request:
            yield request

    def _ask(self, urls: list[str]) -> Float32Array:
        """Embed pictures by one request, or by two halves of it where the server wants it smaller."""
        try:
            return self._ask_for(urls)
        except TooLargeError:
            if len(urls) == 1:
                raise
        except RejectedError as error:
            if not self._works():
                raise ModelAwayError(f"{error}, of a picture that it took before too") from error
            raise
        half = len(urls) // 2
        return np.concatenate([self._ask(urls[:half]), self._ask(urls[half:])])

    def _ask_for(self, urls: list[str]) -> Float32Array:
        return self._dialect.embed_images(urls, self.dimensions)

    def _works(self) -> bool:
        """Whether the server still takes the known picture: if not, no picture is to blame."""
        try:
            self._ask_for([self._known_url])
        except RejectedError:
            return False
        return True


def fingerprint_of(name: RemoteName, dimensions: int) -> str:
    """Return the SHA-256 (hex) over what is known of a server's model: it may move to another URL, its vectors may not change.

    Of the weights nothing is known; golden vectors and the known picture tell when they change.
    """
    parts = (
        "remote 1",
        name.model,
        name.query,
        name.document,
        f"{SHORTER_SIDE} {LONGER_SIDE}",
        str(dimensions),
        # Names from before KServe keep their fingerprints.
        *((name.input, name.output, name.words) if name.is_kserve else ()),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
