"""Pictures that visitors ask with: kept by this process for a while, under a name that an address can hold."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.search.images import thumbnail
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES, vector_of_image
from imgvec_pg.search.query_types import Float32Array
from imgvec_pg.store.collection import Collection

KEPT = 12
"""Pictures of up to 32 MiB each that are held together."""
PREVIEW_PIXELS = 480


@dataclass
class Upload:
    """A picture that was uploaded.

    Attributes:
        content: Its encoded bytes.
        preview: A JPEG of ours.
        vectors: Its vector for each model that was asked, by the model's number.
    """

    content: bytes
    preview: bytes
    vectors: dict[int, Float32Array] = field(default_factory=dict)


class Uploads:
    """The last uploads, by name. Threads share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = Lock()

    def add(self, content: bytes) -> str:
        """Keep a picture and return its name. The sandbox decodes it first.

        Raises:
            UsageError: It is no picture, or too large.
        """
        if not content:
            raise UsageError("no picture was given; expected a file such as shoes.jpg")
        if len(content) > MAX_UPLOAD_BYTES:
            raise UsageError(
                f"the picture is larger than {MAX_UPLOAD_BYTES >> 20} MiB; make it smaller first"
            )
        try:
            preview = thumbnail(content, PREVIEW_PIXELS)
        except ImageError as error:
            raise UsageError(f"the picture cannot be used: {error}") from error
        name = hashlib.sha256(content).hexdigest()[:20]
        with self._lock:
            self._kept.setdefault(name, Upload(content, preview))
            self._kept.move_to_end(name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return name

    def find(self, name: str) -> Upload:
        """Return a picture.

        Raises:
            UsageError: It is kept no more, or never was.
        """
        with self._lock:
            found = self._kept.get(name)
            if found is None:
                raise UsageError(
                    "the picture that was asked with is kept no more: imgvec browse was started again, or others came "
                    "after it; give it once more"
                )
            self._kept.move_to_end(name)
            return found

    def vector(self, connection: Connection, collection: Collection, name: str) -> Float32Array:
        """Return a picture's vector by a collection's model: shape (dimensions,), L2 norm 1.

        Raises:
            UsageError: It is kept no more, or is none that the collection can show.
            NoWorkerError, ModelError: It cannot be embedded.
        """
        upload = self.find(name)
        if collection.model_id not in upload.vectors:
            upload.vectors[collection.model_id] = vector_of_image(connection, collection, upload.content)
        return upload.vectors[collection.model_id]
