"""A collection of Qdrant, read by its scroll API over HTTP.

Qdrant's documentation, "Points", "Scroll points": POST /collections/NAME/points/scroll with limit, offset, with_payload and
with_vector gives {"result": {"points": [{"id", "payload", "vector"}], "next_page_offset"}}; GET /collections/NAME tells the size
of the vectors, POST /collections/NAME/points/count how many there are.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from imgvec_pg.errors import UsageError
from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.readers.columns import ColumnNames
from imgvec_pg.transfer.vector_batch import Texts, VectorBatch, batch_rows

KEY_VARIABLE = "QDRANT_API_KEY"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TIMEOUT_SECONDS = 60.0
POINTS_AT_ONCE = 1000
"""Their vectors travel as JSON, about 10 KB for 512 dimensions."""
MOST_BYTES = 256 << 20
"""Of one answer."""
POINT_ID = "id"


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follow nothing: an answer that leads elsewhere would take the key along."""

    def redirect_request(self, *arguments: Any) -> None:  # noqa: ANN401 - urllib's own
        """Refuse."""


class QdrantReader:
    """Reads a collection page by page, in the order of its point ids."""

    description: ExportDescription | None = None

    def __init__(self, url: str, columns: ColumnNames) -> None:
        parts = urlsplit(url)
        names = [unquote(part) for part in parts.path.strip("/").split("/")]
        if len(names) < 2 or names[-2] != "collections" or not parts.hostname:
            raise UsageError(
                f"{url} names no collection of Qdrant; expected http://127.0.0.1:6333/collections/NAME"
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UsageError(
                f"{url} would send vectors and the API key unencrypted; expected https://, or http:// to 127.0.0.1 "
                "through a tunnel"
            )
        self._url = f"{parts.scheme}://{parts.netloc}/collections/{quote(names[-1], safe='')}"
        self.name = f"Qdrant collection {names[-1]} at {parts.hostname}"
        self.columns = columns
        # Proxies are for other machines; and a redirect is not followed.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects())
        result = self._ask("GET", "", None)
        self.vector, self.dimensions = self._choose_vector(result)
        self.rows = int(self._ask("POST", "/points/count", {"exact": True})["count"])
        self._id = columns.keys[0] if columns.is_guessed else None

    def _choose_vector(self, result: Mapping[str, Any]) -> tuple[str | None, int]:
        try:
            vectors: Mapping[str, Any] = result["config"]["params"]["vectors"]
            if isinstance(vectors.get("size"), int):
                self._require_floats(vectors)
                return None, int(vectors["size"])
            name = self.columns.vector or (next(iter(vectors)) if len(vectors) == 1 else "")
            if name not in vectors:
                raise UsageError(
                    f"{self.name} has the vectors {', '.join(vectors)}; say which ones: --vector-column NAME"
                )
            self._require_floats(vectors[name])
            return name, int(vectors[name]["size"])
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self.name} tells no size of its vectors; expected a collection of dense vectors"
            ) from error

    def _require_floats(self, params: Mapping[str, Any]) -> None:
        """Refuse vectors of whole numbers, and several a point."""
        if params.get("datatype") == "uint8":
            raise UsageError(
                f"{self.name} keeps vectors of uint8: quantised, by a scale that it does not tell; expected float16 or float32"
            )
        if params.get("multivector_config"):
            raise UsageError(f"{self.name} keeps several vectors a point; expected one: --vector-column NAME")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return `result` of an answer.

        Raises:
            UsageError: The service is away, refuses, or answers with something else.
        """
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY_VARIABLE):
            headers["api-key"] = os.environ[KEY_VARIABLE]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310 - http or https, see above
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                text = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            hint = f"; it asks for a key: set {KEY_VARIABLE}" if error.code in (401, 403) else ""
            raise UsageError(f"{self.name} answered {error.code} {error.reason}{hint}") from error
        except OSError as error:
            raise UsageError(
                f"{self.name} cannot be reached ({error}); what was imported until now stays: run it again"
            ) from error
        try:
            if len(text) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES >> 20} MB")
            result: dict[str, Any] = json.loads(text)["result"]
            return result
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.name} answered what is not Qdrant's ({type(error).__name__}: {error})"
            ) from error

    def _pages(self, *, with_vector: bool) -> Iterator[Sequence[Mapping[str, Any]]]:
        wanted = [name for name in self.columns.keys if self._id is None]
        vector: Any = ([self.vector] if self.vector else True) if with_vector else False
        body: dict[str, Any] = {
            "limit": min(POINTS_AT_ONCE, batch_rows(self.dimensions)),
            "with_payload": wanted or False,
            "with_vector": vector,
        }
        while True:
            result = self._ask("POST", "/points/scroll", body)
            if result["points"]:
                yield result["points"]
            offset = result.get("next_page_offset")
            if offset is None:
                return
            if offset == body.get("offset"):
                raise UsageError(f"{self.name} gives the page {offset!r} again and again")
            body["offset"] = offset

    def _keys_of(self, points: Sequence[Mapping[str, Any]]) -> tuple[Texts, ...]:
        if self._id is not None:
            if len(self.columns.keys) > 1:
                raise UsageError(
                    "a point of Qdrant has one id, the key has several columns: say where they are, --key-column "
                    f"{self.columns.keys[0]}=FIELD"
                )
            return ([str(point[POINT_ID]) for point in points],)
        return tuple(
            [_text((point.get("payload") or {}).get(name)) for point in points] for name in self.columns.keys
        )

    def keys(self) -> Iterator[tuple[Texts, ...]]:
        """Give the keys alone."""
        for points in self._pages(with_vector=False):
            yield self._keys_of(points)

    def batches(self) -> Iterator[VectorBatch]:
        """Give all points."""
        for points in self._pages(with_vector=True):
            vectors = np.full((len(points), self.dimensions), np.nan, dtype=np.float32)
            for place, point in enumerate(points):
                found = point.get("vector")
                if self.vector is not None and isinstance(found, dict):
                    found = found.get(self.vector)
                if isinstance(found, list) and len(found) == self.dimensions:
                    vectors[place] = found
            yield VectorBatch(self._keys_of(points), vectors)


def _text(value: Any) -> str | None:  # noqa: ANN401 - of JSON
    if value is None or isinstance(value, (dict, list)):
        return None
    return str(value)
