"""KServe v2, the Open Inference Protocol over REST, as Triton and MLServer have it: pictures as a tensor of BYTES.

https://github.com/kserve/open-inference-protocol, and Triton's docs/protocol/extension_binary_data.md. The protocol says
of BYTES in JSON that they are strings, and not how bytes that are no UTF-8 become one: models behind it take raw
bytes by the binary extension, or base64. Both are tried out.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.remote.answers import read_json
from imgvec_pg.embedding.remote.client import Client, RejectedError
from imgvec_pg.embedding.remote.connection import NotServedError, Request
from imgvec_pg.embedding.remote.model_name import RemoteName
from imgvec_pg.embedding.remote.tensors import (
    Encoding,
    Tensor,
    choose_output,
    infer_request,
    read_answer,
    read_tensors,
    tell,
)
from imgvec_pg.errors import ModelAnswerError

BINARY_EXTENSION = "binary_tensor_data"


@dataclass(frozen=True)
class ServedModel:
    """A model as its server describes it.

    Attributes:
        path: Where it is, below /v2.
        taken: Its input of BYTES.
        output: The output that holds the vectors, "" where the server lists none: then the only one of an answer that may.
        is_binary: Vectors come in binary form.
    """

    path: str
    taken: Tensor
    output: str
    is_binary: bool

    def embed(
        self, client: Client, elements: Sequence[bytes], encoding: Encoding, dimensions: int | None
    ) -> Float32Array:
        """Embed n elements by one request: shape (n, dimensions), rows of norm 1."""
        request = infer_request(
            f"{self.path}/infer",
            self.taken,
            elements,
            encoding,
            output=self.output,
            binary_output=self.is_binary,
        )
        return read_answer(client.shown, client.send(request), self.output, len(elements), dimensions)


@dataclass(frozen=True)
class KServeDialect:
    """One way to send pictures.

    Attributes:
        name: "kserve" with base64 in JSON, "kserve-binary" with raw bytes.
        client: Asks the server, its URL ending in /v2.
        images: The model of pictures.
        texts: The model of words, None where the name has none.
        images_per_request: Most that one request may hold.
    """

    name: str
    client: Client
    images: ServedModel
    texts: ServedModel | None
    images_per_request: int
    embeds_otherwise = "the bytes of a picture's file"

    def embed_images(self, urls: Sequence[str], dimensions: int | None) -> Float32Array:
        """Embed pictures by one request: shape (n, dimensions), rows of norm 1."""
        files = [base64.b64decode(url.partition(",")[2]) for url in urls]
        encoding: Encoding = "binary" if self.name == "kserve-binary" else "base64"
        return self.images.embed(self.client, files, encoding, dimensions)

    def embed_texts(self, texts: Sequence[str], dimensions: int) -> Float32Array:
        """Embed texts, as many a request as pictures: shape (n, dimensions), rows of norm 1.

        Raises:
            ModelAnswerError: The name of the model has no words=MODEL.
        """
        if self.texts is None:
            raise ModelAnswerError(f"{self.client.shown} was named no model of words: #words=MODEL")
        most = 1 if self.texts.taken.shape[:1] == (1,) else self.images_per_request
        words = [text.encode() for text in texts]
        return np.concatenate(
            [
                self.texts.embed(self.client, words[first : first + most], "text", dimensions)
                for first in range(0, len(words), most)
            ]
        )


def kserve_url(url: str) -> str:
    """Return where /models is below: /v2 beside or in place of /v1, whatever of the paths of a model follows."""
    url = url.rstrip("/").removesuffix("/embeddings")
    return re.sub(r"/v[12](/models/[^?#]*)?$", "", url) + "/v2"


def kserve_dialects(client: Client, name: RemoteName, images_per_request: int) -> list[KServeDialect]:
    """Ask what the server says of the model, and return the ways to try out.

    Raises:
        NotFoundError: It has no such path, or no such model.
        ModelAnswerError: It has no input or no output that this is about, or several.
    """
    is_binary = False
    path = f"/models/{quote(name.model)}"
    described = read_json(client.shown, client.send(Request(path)).body)
    try:
        server = read_json(client.shown, client.send(Request("")).body)
        extensions = server.get("extensions") if isinstance(server, dict) else None
        is_binary = isinstance(extensions, list) and BINARY_EXTENSION in extensions
    except (NotServedError, RejectedError, ModelAnswerError):
        # A gateway may let through the model's paths alone.
        pass
    images = _served(client.shown, path, described, name.input, name.output, is_binary=is_binary)
    texts = None
    if name.words:
        path = f"/models/{quote(name.words)}"
        described = read_json(client.shown, client.send(Request(path)).body)
        texts = _served(client.shown, path, described, "", "", is_binary=is_binary)
    most = 1 if images.taken.shape[:1] == (1,) else images_per_request
    ways = [KServeDialect("kserve", client, images, texts, most)]
    if is_binary:
        # What Triton's own clients send for BYTES, and a third less to send.
        ways.insert(0, KServeDialect("kserve-binary", client, images, texts, most))
    return ways


def _served(
    shown: str, path: str, described: object, wanted_input: str, wanted_output: str, *, is_binary: bool
) -> ServedModel:
    """Find the input and the output of a model."""
    inputs = read_tensors(shown, described, "inputs")
    outputs = read_tensors(shown, described, "outputs")
    output = choose_output(shown, outputs, wanted_output).name if outputs else wanted_output
    return ServedModel(path, _choose_input(shown, inputs, wanted_input), output, is_binary)


def _choose_input(shown: str, tensors: Sequence[Tensor], wanted: str) -> Tensor:
    """Return the input of BYTES: the one that was named, else the only one; the others would be missing."""
    if wanted and not tensors:
        return Tensor(wanted, "BYTES", (-1,))
    chosen = [tensor for tensor in tensors if tensor.name == wanted or not wanted]
    if not tensors:
        raise ModelAnswerError(f"{shown} lists no inputs of the model; name the one of pictures, #input=NAME")
    if len(chosen) != 1:
        told = f"has no input {wanted}" if wanted else "has several inputs"
        expected = "expected one of them" if wanted else "expected one, of BYTES; or name it, #input=NAME"
        raise ModelAnswerError(f"{shown} {told}; its inputs are {tell(tensors)}; {expected}")
    taken = chosen[0]
    if taken.datatype != "BYTES" or any(length not in (-1, 1) for length in taken.shape):
        raise ModelAnswerError(
            f"{shown} has the input {taken}; expected BYTES [-1] or [-1, 1], which takes pictures as files: how pixels "
            "are to be prepared the protocol does not tell; put that in front of the model, on the server"
        )
    return taken
