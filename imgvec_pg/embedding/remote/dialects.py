"""How servers take pictures: OpenAI's /v1/embeddings, which does not define it, in three ways, and KServe v2; found by asking."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import numpy as np
from PIL.Image import Image, fromarray

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.remote.client import Client, RejectedError
from imgvec_pg.embedding.remote.connection import NotFoundError, NotServedError
from imgvec_pg.embedding.remote.kserve import KServeDialect, kserve_dialects, kserve_url
from imgvec_pg.embedding.remote.model_name import RemoteName
from imgvec_pg.embedding.remote.openai import openai_dialects
from imgvec_pg.errors import ModelAnswerError, ModelNotFoundError

SAME_COSINE, OTHER_COSINE = 0.999, 0.9999
"""One picture in two files embeds alike, and another one otherwise. A server that embeds the text of a data URL fails this."""
PROBE_TEXTS = ("a photo of a cat", "two red shoes")
KSERVE_IMAGES_PER_REQUEST = 16
"""Halved until the server takes so many: only Triton says how many a model takes, and where none of the protocol is."""


class Dialect(Protocol):
    """One way to ask a server for vectors of pictures and words."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def client(self) -> Client:
        """Asks the server."""

    @property
    def images_per_request(self) -> int:
        """Most that one request may hold."""

    @property
    def embeds_otherwise(self) -> str:
        """What a server embeds that takes the request and does not read the picture in it."""

    def embed_images(self, urls: Sequence[str], dimensions: int | None) -> Float32Array:
        """Embed data URLs by one request: shape (n, dimensions), rows of norm 1."""

    def embed_texts(self, texts: Sequence[str], dimensions: int) -> Float32Array:
        """Embed texts, prompts and all: shape (n, dimensions), rows of norm 1."""


Way = TypeVar("Way", bound=Dialect)


@dataclass(frozen=True)
class Tried:
    """What trying out a server found: the way it takes pictures, the size of its vectors, and whether it has words."""

    dialect: Dialect
    dimensions: int
    has_text: bool


def try_out(url: str, name: RemoteName) -> Tried:
    """Find the way by which a server embeds pictures.

    Raises:
        ModelNotFoundError: It embeds pictures in none of them.
        ModelAwayError, ModelAnswerError: As the client has it.
    """
    families = [_try_openai, _try_kserve]
    if name.is_kserve:
        families = [_try_kserve]
    elif name.document:
        families = [_try_openai]
    elif "v2" in urlsplit(url).path.split("/"):
        families.reverse()
    said: list[str] = []
    unknown: list[NotFoundError] = []
    for family in families:
        try:
            tried = family(url, name, said)
        except NotFoundError as error:
            unknown.append(error)
            continue
        if tried is not None:
            return tried
    if said:
        raise ModelNotFoundError(
            f"the server {Client(url).shown} embeds no pictures by the model {name.model} ({'; '.join(said)})"
        )
    raise NotFoundError("; ".join(map(str, unknown)))


def api_urls(url: str) -> list[str]:
    """Return where /embeddings may be below: of a URL without a path /v1, as OpenAI has it, or nothing, as Infinity has it."""
    url = url.rstrip("/").removesuffix("/embeddings")
    return [url] if urlsplit(url).path not in ("", "/") else [f"{url}/v1", url]


def _try_openai(url: str, name: RemoteName, said: list[str]) -> Tried | None:
    first, *others = api_urls(url)
    try:
        found = _first(openai_dialects(Client(first), name), name, said)
    except NotFoundError:
        if not others:
            raise
        try:
            found = _first(openai_dialects(Client(others[0]), name), name, said)
        except (NotFoundError, RejectedError):
            found = None
        if found is None:
            raise
    return found and Tried(*found)


def _try_kserve(url: str, name: RemoteName, said: list[str]) -> Tried | None:
    client = Client(kserve_url(url))
    try:
        dialects = kserve_dialects(client, name, KSERVE_IMAGES_PER_REQUEST)
    except NotServedError:
        raise
    except (RejectedError, ModelAnswerError) as error:
        said.append(f"kserve: {error}")
        return None
    found = _first(dialects, name, said)
    if found is None:
        return None
    dialect, dimensions, has_text = found
    return Tried(_sized(dialect, dimensions), dimensions, has_text)


def _first(dialects: Sequence[Way], name: RemoteName, said: list[str]) -> tuple[Way, int, bool] | None:
    """Return the first way that embeds two pictures as pictures, as Tried has it, and note what the others said."""
    first, second = (data_url(picture) for picture in probes())
    again = data_url(probes()[0], compress_level=9)
    for dialect in dialects:
        try:
            vectors = np.concatenate([dialect.embed_images([url], None) for url in (first, again, second)])
        except NotServedError:
            # A key that is refused, a model that is unknown, is so in every way of one protocol.
            raise
        except (RejectedError, ModelAnswerError, ValueError) as error:
            said.append(f"{dialect.name}: {error}")
            continue
        if not np.isfinite(vectors).all():
            said.append(f"{dialect.name}: it gives vectors that are not finite")
        elif vectors[0] @ vectors[1] < SAME_COSINE or vectors[0] @ vectors[2] > OTHER_COSINE:
            said.append(f"{dialect.name}: it embeds {dialect.embeds_otherwise}, not the picture")
        else:
            dimensions = vectors.shape[1]
            return dialect, dimensions, _has_text(dialect, name, dimensions)
    return None


def _sized(dialect: KServeDialect, dimensions: int) -> KServeDialect:
    """Find how many pictures a request may hold: so many that each comes back as alone, in the order of the request."""
    urls = [data_url(picture) for picture in probes()]
    alone = np.concatenate([dialect.embed_images([url], dimensions) for url in urls])
    size = dialect.images_per_request
    while size > 1:
        try:
            together = dialect.embed_images(urls * (size // 2), dimensions)
        except NotServedError:
            raise
        except (RejectedError, ModelAnswerError):
            pass
        else:
            if ((together * np.tile(alone, (size // 2, 1))).sum(axis=1) >= SAME_COSINE).all():
                break
        size //= 2
    return replace(dialect, images_per_request=size)


def _has_text(dialect: Dialect, name: RemoteName, dimensions: int) -> bool:
    """Whether the model has words: it embeds two texts, differently, in as many dimensions."""
    try:
        one, other = dialect.embed_texts([name.query.replace("{}", text) for text in PROBE_TEXTS], dimensions)
    except (RejectedError, ModelAnswerError):
        if name.words:
            # Named, so it is meant.
            raise
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
