"""Tell which near pairs have the same pixels: saved anew without loss, in another format, with other metadata."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from imgvec_pg.database.connect import Connection, needing, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.duplicates.relations import NEEDED, duplicate_parts
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.search.images import read_pictures
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

MAX_DISTANCE = 0.005
"""Of the same pixels a model makes the same vector, but for precision: workers are held to cosine 0.999 of golden vectors."""


@dataclass(frozen=True)
class SamePixels:
    """What opening pictures told.

    Attributes:
        opened: Pictures opened.
        unread: Of those, such that could not be read, or whose bytes are not those that were embedded.
        pairs: Rows of the pair table that now say 'same pixels'.
    """

    opened: int
    unread: int
    pairs: int


def note_same_pixels(connection: Connection, collection: Collection, root: Path | None) -> SamePixels:
    """Open both pictures of pairs that are as near as the same pixels make them, and note which have those.

    Args:
        root: Folder that paths are under, instead of the collection's.

    Raises:
        DatabaseError: The role lacks a right.
    """
    parts = bindable(duplicate_parts(collection, vector_schema(connection)))
    with needing(connection, NEEDED):
        near = connection.execute(
            render("collection/near_pictures.sql", **parts), {"distance": MAX_DISTANCE}
        ).fetchall()
        keys: dict[bytes, Key] = {}
        for content_hash, key, other_hash, other_key in near:
            keys.setdefault(bytes(content_hash), key)
            keys.setdefault(bytes(other_hash), other_key)
        pixels: dict[bytes, bytes] = {}
        pictures = read_pictures(connection, collection, list(keys.values()), root)
        for content_hash, picture in zip(keys, pictures, strict=True):
            found = _pixel_hash(picture, content_hash, collection)
            if found is not None:
                pixels[content_hash] = found
        same = [
            (content_hash, other_hash)
            for content_hash, _, other_hash, _ in near
            if bytes(content_hash) in pixels and pixels[bytes(content_hash)] == pixels.get(bytes(other_hash))
        ]
        values = {"hashes": [one for one, _ in same], "other_hashes": [other for _, other in same]}
        noted = connection.execute(render("collection/note_same_pixels.sql", **parts), values).rowcount
    return SamePixels(len(keys), len(keys) - len(pixels), noted)


def _pixel_hash(picture: bytes | ImageError, content_hash: bytes, collection: Collection) -> bytes | None:
    """Return the hash of a picture's size and pixels, as a model's preprocessing begins with them; None if they are unknown."""
    if isinstance(picture, ImageError) or hashlib.sha256(picture).digest() != content_hash:
        return None
    try:
        image = decode_sandboxed(picture, rendering=collection.rendering, bands=collection.bands)
    except ImageError:
        return None
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).digest()
