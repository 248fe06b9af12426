"""Tensors of KServe v2 over REST: a request with one of BYTES, an answer with one of vectors, each also in binary form."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import numpy as np

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.remote.answers import check_dimensions, read_json, unit_rows
from imgvec_pg.embedding.remote.connection import Reply, Request
from imgvec_pg.errors import ModelAnswerError

Encoding = Literal["binary", "base64", "text"]
"""Of elements of BYTES: raw behind the JSON, as base64 in the JSON, or as they are in the JSON, which UTF-8 alone can be."""
VECTOR_DATATYPES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
JSON_LENGTH = "Inference-Header-Content-Length"
"""The header of the binary tensor data extension: how many bytes of a body are JSON. The tensors follow it, in its order."""


@dataclass(frozen=True)
class Tensor:
    """An input or output, as a server lists it; -1 in its shape is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        told = f"{self.name[:80]} ({self.datatype[:20]} {list(self.shape)[:8]})"
        return "".join(filter(str.isprintable, told))

    @property
    def can_be_vectors(self) -> bool:
        """Whether it may be one vector for each picture."""
        return self.datatype in VECTOR_DATATYPES and len(self.shape) == 2


def read_tensor(shown: str, entry: object) -> Tensor:
    """Read one of "inputs" or "outputs".

    Raises:
        ModelAnswerError: It lacks a name, a datatype or a shape.
    """
    if isinstance(entry, dict):
        name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
        if isinstance(name, str) and isinstance(datatype, str) and isinstance(shape, list):
            # MLServer and others give a length as text, or as a whole float, where a settings file has it so.
            try:
                return Tensor(name, datatype, tuple(int(length) for length in shape))
            except (TypeError, ValueError, OverflowError):
                pass
    raise ModelAnswerError(f"{shown} lists a tensor without name, datatype and shape")


def read_tensors(shown: str, answer: object, key: str) -> list[Tensor]:
    """Read "inputs" or "outputs" of a model's description or an answer; none where they are left out."""
    entries = answer.get(key) or [] if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise ModelAnswerError(f'the answer of {shown} has no list "{key}" of tensors')
    return [read_tensor(shown, entry) for entry in entries]


def tell(tensors: Sequence[Tensor]) -> str:
    """Return tensors for a message, a few of them."""
    return ", ".join(map(str, tensors[:4])) + (", …" if len(tensors) > 4 else "") or "none"


def choose_output(shown: str, tensors: Sequence[Tensor], wanted: str) -> Tensor:
    """Return the output that holds the vectors: the one that was named, else the only one that may.

    Raises:
        ModelAnswerError: It is missing, or is none; several may be, and none was named.
    """
    met = tell(tensors)
    if wanted:
        named = next((tensor for tensor in tensors if tensor.name == wanted), None)
        if named is None:
            raise ModelAnswerError(f"{shown} has no output {wanted}; its outputs are {met}")
        if not named.can_be_vectors:
            raise ModelAnswerError(
                f"{shown} has the output {named}; expected FP32, FP16 or FP64 [-1, dimensions]"
            )
        return named
    fitting = [tensor for tensor in tensors if tensor.can_be_vectors]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ModelAnswerError(
            f"{shown} has several outputs that may be the vectors: {met}; name one, such as #output={quote(fitting[0].name[:80])}"
        )
    raise ModelAnswerError(
        f"{shown} has no output of vectors, FP32, FP16 or FP64 [-1, dimensions]; its outputs are {met}"
    )


def infer_request(
    path: str,
    taken: Tensor,
    elements: Sequence[bytes],
    encoding: Encoding,
    *,
    output: str,
    binary_output: bool,
) -> Request:
    """Return the request for elements of one input of BYTES.

    Args:
        taken: The input: its first length becomes the number of elements, others 1.
        output: The output wanted, "" for all.
        binary_output: The vectors are to come in binary form: Triton has no JSON of FP16.
    """
    shape = [len(elements), *(1 for _ in taken.shape[1:])]
    sent: dict[str, object] = {"name": taken.name, "datatype": "BYTES", "shape": shape}
    behind = b""
    if encoding == "binary":
        behind = b"".join(len(element).to_bytes(4, "little") + element for element in elements)
        sent["parameters"] = {"binary_data_size": len(behind)}
    elif encoding == "base64":
        # MLServer decodes by this; other servers leave it to the model.
        sent["parameters"] = {"content_type": "base64"}
        sent["data"] = [base64.b64encode(element).decode() for element in elements]
    else:
        sent["data"] = [element.decode() for element in elements]
    payload: dict[str, object] = {"inputs": [sent]}
    if output:
        payload["outputs"] = [
            {"name": output, **({"parameters": {"binary_data": True}} if binary_output else {})}
        ]
    elif binary_output:
        payload["parameters"] = {"binary_data_output": True}
    head = json.dumps(payload).encode()
    headers = {}
    if behind:
        headers = {JSON_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
    if binary_output:
        headers["Accept"] = "*/*"
    return Request(path, head + behind, headers)


def read_answer(shown: str, reply: Reply, output: str, count: int, dimensions: int | None) -> Float32Array:
    """Return the vectors of an answer, in the order of what was asked: shape (count, dimensions), rows of norm 1.

    The protocol numbers nothing: an answer in another order cannot be told from a right one.

    Args:
        output: The output that holds them, "" for the only one that may.
        dimensions: What the model had before; None where that is not known yet.

    Raises:
        ModelAnswerError: It is not JSON, lacks the output, or that has another shape than its numbers or than was asked.
    """
    answer, behind = _split(shown, reply)
    chosen = choose_output(shown, read_tensors(shown, answer, "outputs"), output)
    entry, raw = _entry(shown, answer["outputs"], behind, chosen.name)
    if chosen.shape[0] != count:
        raise ModelAnswerError(
            f"{shown} gave {chosen.shape[0]} embeddings for {count} inputs; expected one each"
        )
    numbers = (
        _from_json(shown, chosen, entry.get("data")) if raw is None else _from_binary(shown, chosen, raw)
    )
    length = chosen.shape[1]
    if numbers.size != count * length or length < 1:
        raise ModelAnswerError(
            f"{shown} gave {numbers.size} numbers as {chosen}; expected {count} times {length}"
        )
    check_dimensions(shown, {length}, dimensions)
    return unit_rows(numbers.reshape(count, length))


def _split(shown: str, reply: Reply) -> tuple[Any, bytes]:
    """Return the JSON of an answer, and what follows it."""
    told = reply.headers.get(JSON_LENGTH.lower())
    if told is None:
        return read_json(shown, reply.body), b""
    if not told.isdecimal() or int(told) > len(reply.body):
        raise ModelAnswerError(
            f"the answer of {shown} has {JSON_LENGTH} {told[:20]!r} and {len(reply.body)} bytes"
        )
    return read_json(shown, reply.body[: int(told)]), reply.body[int(told) :]


def _entry(
    shown: str, entries: list[dict[str, Any]], behind: bytes, name: str
) -> tuple[dict[str, Any], bytes | None]:
    """Return an output, and its bytes where it is in binary form."""
    at = 0
    for entry in entries:
        parameters = entry.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is not None and not (isinstance(size, int) and 0 <= size <= len(behind) - at):
            raise ModelAnswerError(
                f"{shown} gave fewer bytes than its output {str(entry['name'])[:80]!r} has by its answer"
            )
        if entry["name"] == name:
            return entry, None if size is None else behind[at : at + size]
        at += size or 0
    raise AssertionError(name)


def _from_binary(shown: str, tensor: Tensor, raw: bytes) -> Float32Array:
    kind = np.dtype(VECTOR_DATATYPES[tensor.datatype])
    if len(raw) % kind.itemsize:
        raise ModelAnswerError(
            f"{shown} gave {len(raw)} bytes as {tensor}; expected {kind.itemsize} a number"
        )
    with np.errstate(over="ignore"):
        return np.frombuffer(raw, dtype=kind).astype(np.float32)


def _from_json(shown: str, tensor: Tensor, data: object) -> Float32Array:
    """Read numbers, flat or nested as the protocol allows; null stands for NaN where a server writes JSON strictly."""
    if isinstance(data, list):
        try:
            found = np.asarray(data)
            if found.dtype.kind == "O":
                found = np.asarray(data, dtype=np.float64)
            if found.dtype.kind in "fiu":
                with np.errstate(over="ignore"):
                    return found.astype(np.float32).ravel()
        except (ValueError, TypeError, OverflowError):
            pass
    raise ModelAnswerError(f"{shown} gave what is no list of numbers as its output {tensor}")
