"""Read what a server answers to /v1/embeddings: vectors in the order that was asked, or why there are none.

Other dialects check their vectors by the same functions.
"""

import base64
import binascii
import json
from typing import Any

import numpy as np

from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.errors import ModelAnswerError


def read_vectors(shown: str, body: bytes, count: int, dimensions: int | None) -> tuple[Float32Array, str]:
    """Return the vectors of an answer in the order of what was asked, and what the server calls its model.

    Each is an array of numbers, or base64 of float32 in little-endian order, as OpenAI's encoding_format has it. They are brought
    to norm 1; one that holds NaN, infinity or only zeros stays as it is, and is told of by whoever asked for that picture.

    Args:
        shown: The server, for messages.
        dimensions: What the model had before; None where that is not known yet.

    Returns:
        Shape (count, dimensions), float32.

    Raises:
        ModelAnswerError: It is not JSON, has another number of vectors, an index twice, or other dimensions.
    """
    answer = read_json(shown, body)
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ModelAnswerError(f'the answer of {shown} has no list "data" of embeddings')
    if len(entries) != count:
        raise ModelAnswerError(
            f"{shown} gave {len(entries)} embeddings for {count} inputs; expected one each"
        )
    places = [entry.get("index", place) for place, entry in enumerate(entries)]
    if sorted(map(str, places)) != sorted(map(str, range(count))):
        raise ModelAnswerError(
            f'{shown} numbers its {count} embeddings otherwise than 0 to {count - 1} ("index")'
        )
    vectors = [_vector(shown, entry.get("embedding")) for entry in entries]
    check_dimensions(shown, {len(vector) for vector in vectors}, dimensions)
    ordered = np.empty((count, len(vectors[0])), dtype=np.float32)
    for place, vector in zip(places, vectors, strict=True):
        ordered[int(place)] = vector
    return unit_rows(ordered), str(answer.get("model", ""))


def check_dimensions(shown: str, met: set[int], dimensions: int | None) -> None:
    """Check the lengths of the vectors of an answer: all one, and the one of before.

    Raises:
        ModelAnswerError: They are not.
    """
    if len(met) > 1 or (dimensions is not None and met != {dimensions}):
        expected = (
            "one number of them" if dimensions is None else f"{dimensions} as before: its model was changed"
        )
        told = " and ".join(map(str, sorted(met)))
        raise ModelAnswerError(f"{shown} gave embeddings of {told} dimensions; expected {expected}")


def unit_rows(vectors: Float32Array) -> Float32Array:
    """Bring each row to norm 1; one that holds NaN, infinity or only zeros stays as it is."""
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        return np.where(norms > 0, vectors / norms, vectors).astype(np.float32)


def read_json(shown: str, body: bytes) -> Any:  # noqa: ANN401 - whatever the server sent
    """Parse an answer.

    Raises:
        ModelAnswerError: It is not JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        begins = "".join(filter(str.isprintable, body[:40].decode("utf-8", "replace")))
        raise ModelAnswerError(f"the answer of {shown} is not JSON, it begins {begins!r}") from error


def _vector(shown: str, value: object) -> Float32Array:
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        if isinstance(value, list) and value:
            # null stands for NaN where a server writes JSON strictly.
            numbers = [np.nan if number is None else number for number in value]
            vector = np.asarray(numbers, dtype=np.float32)
            if vector.ndim == 1:
                return vector
    except (binascii.Error, ValueError, TypeError, OverflowError):
        pass
    raise ModelAnswerError(
        f"{shown} gave an embedding that is neither a list of numbers nor base64 of float32"
    )


def told_by(body: bytes) -> str:
    """Return what an answer says went wrong, in one line of at most 120 characters; "" where it says nothing."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for name in ("error", "detail", "message"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    text = said if isinstance(said, str) else json.dumps(said)
    return "".join(filter(str.isprintable, " ".join(text.split())))[:120]
