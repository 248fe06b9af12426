"""How servers take pictures at /v1/embeddings, which OpenAI's own does not define: three ways, tried out one after the other."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image, fromarray

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.remote.answers import read_vectors
from imgvec_pg.embedding.remote.client import Client, RejectedError
from imgvec_pg.embedding.remote.connection import NotServedError
from imgvec_pg.embedding.remote.model_name import RemoteName
from imgvec_pg.errors import ModelAnswerError, ModelNotFoundError

SAME_COSINE, OTHER_COSINE = 0.999, 0.9999
"""One picture in two files embeds alike, and another one otherwise. A server that embeds the text of a data URL fails this."""
PROBE_TEXTS = ("a photo of a cat", "two red shoes")


@dataclass(frozen=True)
class Dialect:
    """One way.

    Attributes:
        name: "modality" as Infinity has it, "objects" as Jina's API, "messages" as vLLM.
        images_per_request: Most that one request may hold.
        takes_document: Whether words may go with a picture.
    """

    name: str
    images_per_request: int = 16
    takes_document: bool = False

    def of_images(self, name: RemoteName, urls: Sequence[str]) -> dict[str, object]:
        """Return the request for pictures, given as data URLs."""
        payload: dict[str, object] = {"model": name.model, "encoding_format": "float"}
        if self.name == "modality":
            return {**payload, "input": list(urls), "modality": "image"}
        if self.name == "objects":
            return {**payload, "input": [{"image": url} for url in urls]}
        content: list[dict[str, object]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        if name.document:
            content.append({"type": "text", "text": name.document})
        return {**payload, "messages": [{"role": "user", "content": content}]}

    def of_texts(self, name: RemoteName, texts: Sequence[str]) -> dict[str, object]:
        """Return the request for texts."""
        words = [name.query.replace("{}", text) for text in texts]
        payload: dict[str, object] = {"model": name.model, "encoding_format": "float"}
        if self.name == "modality":
            return {**payload, "input": words, "modality": "text"}
        if self.name == "objects":
            return {**payload, "input": [{"text": text} for text in words]}
        return {**payload, "input": words}


DIALECTS = (Dialect("modality"), Dialect("objects"), Dialect("messages", 1, takes_document=True))


@dataclass(frozen=True)
class Tried:
    """What trying out a server found: the way it takes pictures, the size of its vectors, and whether it has words."""

    dialect: Dialect
    dimensions: int
    has_text: bool


def try_out(client: Client, name: RemoteName) -> Tried:
    """Find the way by which a server embeds pictures.

    Raises:
        ModelNotFoundError: It embeds pictures in none of them.
        ModelAwayError, ModelAnswerError: As the client has it.
    """
    first, second = (data_url(picture) for picture in probes())
    again = data_url(probes()[0], compress_level=9)
    said: list[str] = []
    for dialect in DIALECTS:
        if name.document and not dialect.takes_document:
            continue
        try:
            vectors = np.concatenate(
                [ask_images(client, name, dialect, [url], None) for url in (first, again, second)]
            )
        except NotServedError:
            # A key that is refused, a model that is unknown, is so in every way.
            raise
        except (RejectedError, ModelAnswerError, ValueError) as error:
            said.append(f"{dialect.name}: {error}")
            continue
        if vectors[0] @ vectors[1] < SAME_COSINE or vectors[0] @ vectors[2] > OTHER_COSINE:
            said.append(f"{dialect.name}: it embeds the text of a picture's data URL, not the picture")
            continue
        dimensions = vectors.shape[1]
        return Tried(dialect, dimensions, _has_text(client, name, dialect, dimensions))
    raise ModelNotFoundError(
        f"the server {client.shown} embeds no pictures by the model {name.model} ({'; '.join(said)})"
    )


def ask_images(
    client: Client, name: RemoteName, dialect: Dialect, urls: Sequence[str], dimensions: int | None
) -> Float32Array:
    """Embed pictures by one request: shape (n, dimensions), rows of norm 1."""
    body = client.post("/embeddings", dialect.of_images(name, urls))
    return read_vectors(client.shown, body, len(urls), dimensions)[0]


def ask_texts(
    client: Client, name: RemoteName, dialect: Dialect, texts: Sequence[str], dimensions: int
) -> Float32Array:
    """Embed texts by one request: shape (n, dimensions), rows of norm 1."""
    body = client.post("/embeddings", dialect.of_texts(name, texts))
    return read_vectors(client.shown, body, len(texts), dimensions)[0]


def _has_text(client: Client, name: RemoteName, dialect: Dialect, dimensions: int) -> bool:
    """Whether the model has words: it embeds two texts, differently, in as many dimensions."""
    try:
        one, other = ask_texts(client, name, dialect, PROBE_TEXTS, dimensions)
    except (RejectedError, ModelAnswerError):
        return False
    return bool(one @ other < OTHER_COSINE)


def data_url(image: Image, compress_level: int = 1) -> str:
    """Return a picture as a data URL; PNG, so that no pixel changes on the way."""
    import base64

    file = io.BytesIO()
    image.save(file, "PNG", compress_level=compress_level)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def probes() -> tuple[Image, Image]:
    """Return two pictures that no model takes for alike."""
    y, x = np.mgrid[0:224, 0:224]
    rings = ((x - 80) ** 2 + (y - 120) ** 2) // 900 % 2
    warm = np.stack([200 + rings * 50, x * 200 // 224, rings * 40], axis=-1)
    cold = np.stack([y * 60 // 224, (x // 32 + y // 32) % 2 * 120, 255 - x * 90 // 224], axis=-1)
    return fromarray(warm.astype(np.uint8)), fromarray(cold.astype(np.uint8))
