"""OpenAI's /v1/embeddings, which does not define how pictures are sent: three ways of servers."""

from collections.abc import Sequence
from dataclasses import dataclass

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.remote.answers import read_vectors
from imgvec_pg.embedding.remote.client import Client
from imgvec_pg.embedding.remote.model_name import RemoteName

PATH = "/embeddings"


@dataclass(frozen=True)
class OpenAIDialect:
    """One way.

    Attributes:
        name: "modality" as Infinity has it, "objects" as Jina's API, "messages" as vLLM.
        client: Asks the server, its URL the one that /embeddings is below.
        images_per_request: Most that one request may hold.
    """

    name: str
    client: Client
    model: RemoteName
    images_per_request: int = 16
    embeds_otherwise = "the text of a picture's data URL"

    def embed_images(self, urls: Sequence[str], dimensions: int | None) -> Float32Array:
        """Embed pictures by one request: shape (n, dimensions), rows of norm 1."""
        body = self.client.post(PATH, self._of_images(urls))
        return read_vectors(self.client.shown, body, len(urls), dimensions)[0]

    def embed_texts(self, texts: Sequence[str], dimensions: int) -> Float32Array:
        """Embed texts, prompts and all, by one request: shape (n, dimensions), rows of norm 1."""
        body = self.client.post(PATH, self._of_texts(texts))
        return read_vectors(self.client.shown, body, len(texts), dimensions)[0]

    def _of_images(self, urls: Sequence[str]) -> dict[str, object]:
        payload: dict[str, object] = {"model": self.model.model, "encoding_format": "float"}
        if self.name == "modality":
            return {**payload, "input": list(urls), "modality": "image"}
        if self.name == "objects":
            return {**payload, "input": [{"image": url} for url in urls]}
        content: list[dict[str, object]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        if self.model.document:
            content.append({"type": "text", "text": self.model.document})
        return {**payload, "messages": [{"role": "user", "content": content}]}

    def _of_texts(self, texts: Sequence[str]) -> dict[str, object]:
        payload: dict[str, object] = {"model": self.model.model, "encoding_format": "float"}
        if self.name == "modality":
            return {**payload, "input": list(texts), "modality": "text"}
        if self.name == "objects":
            return {**payload, "input": [{"text": text} for text in texts]}
        return {**payload, "input": list(texts)}


def openai_dialects(client: Client, name: RemoteName) -> list[OpenAIDialect]:
    """Return the ways to try out, in their order; only one takes words beside a picture."""
    ways = [OpenAIDialect("messages", client, name, images_per_request=1)]
    if not name.document:
        ways[:0] = [OpenAIDialect("modality", client, name), OpenAIDialect("objects", client, name)]
    return ways
