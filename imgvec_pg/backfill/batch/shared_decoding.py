"""Decode once, preprocess for each model: several collections of one source share each decoded image."""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from PIL.Image import Image

from imgvec_pg.backfill.picture_clock import decoding
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.images.decoding.sandbox import decode_for, decode_sandboxed
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.picture_note import PictureNote, note_on
from imgvec_pg.images.rendering.version import NEWEST

log = logging.getLogger(__name__)

KEPT_BYTES = 512 * 2**20
"""Prepared pictures that wait for their other models; 224 x 224 pixels of 8 bits are 150 KB."""
AHEAD_PICTURES = 256
"""How far a fast model may be ahead of a slow one: as many pictures are kept, at most."""
STANDING_SECONDS = 120.0
"""A slower one that asked for nothing for so long (a locked table) is not waited for until it asks again."""

LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class PreparedPicture:
    """A picture as a model wants it.

    Attributes:
        note: What to note of it, as the model sees it; None for most.
    """

    prepared: Any
    note: PictureNote | None


class SharedDecoding:
    """Preprocesses an image for all models when the first of them asks. Matched by their bytes, so nothing is stale.

    Attributes:
        decoded: Pictures decoded.
        shared: Pictures that needed no decoding, since another model had asked before.
    """

    def __init__(self, decode: Callable[..., Image] = decode_sandboxed) -> None:
        self.decoded = self.shared = 0
        self._decode = decode
        self._models: list[SharedDecodingEmbedder] = []
        self._running: dict[bytes, threading.Event] = {}
        self._kept: OrderedDict[tuple[bytes, int], PreparedPicture] = OrderedDict()
        self._kept_bytes = 0
        self._changed = threading.Condition()

    def join(self, embedder: Embedder, is_working: Callable[[], bool]) -> "SharedDecodingEmbedder":
        """Return an embedder that shares its pictures.

        Args:
            is_working: Whether it will ask for more; for one that will not, nothing is prepared, and nobody waits.
        """
        sharing = SharedDecodingEmbedder(embedder, self, len(self._models), is_working)
        self._models.append(sharing)
        return sharing

    def prepare(
        self, model: "SharedDecodingEmbedder", data: bytes, rendering: int = NEWEST, bands: Bands = ()
    ) -> PreparedPicture:
        """Return a picture as `model` wants it, decoding it only if no other model had it decoded.

        Args:
            rendering, bands: Of the model's collection. Those of others do not share its pictures.

        Raises:
            ImageError: It does not decode.
        """
        model.rules = (rendering, bands)
        self._wait_for_slower(model)
        digest = _digest(hashlib.sha256(data).digest(), rendering, bands)
        with self._changed:
            model.asked += 1
            model.asked_at = time.monotonic()
            self._changed.notify_all()
            running = self._running.get(digest)
            if running is None and (digest, model.place) not in self._kept:
                self._running[digest] = threading.Event()
        if running is not None:
            running.wait()
        with self._changed:
            if (digest, model.place) in self._kept:
                self.shared += 1
                return self._take((digest, model.place))
        if running is not None:  # it was not decoded for this model, or not at all
            return self._decode_for(model, data)
        try:
            return self._decode_for_all(model, digest, data)
        finally:
            with self._changed:
                self._running.pop(digest).set()

    def pass_over(
        self, model: "SharedDecodingEmbedder", content_hash: bytes, rendering: int, bands: Bands = ()
    ) -> None:
        """Note that a model has a picture already: it is not slow, and what was prepared for it is not needed."""
        with self._changed:
            model.asked += 1
            model.asked_at = time.monotonic()
            self._changed.notify_all()
            place = (_digest(content_hash, rendering, bands), model.place)
            if place in self._kept:
                self._take(place)

    def _decoded(self, model: "SharedDecodingEmbedder", data: bytes) -> Image:
        """Decode a picture: resized already, and perhaps shrunk on load, where all models begin with one and the same resize."""
        resizes = {getattr(other.embedder, "first_resize", None) for other in self._models}
        resize = resizes.pop() if len(resizes) == 1 else None
        assert model.rules is not None  # noqa: S101 - set as it asked
        rendering, bands = model.rules
        resizes_to = [] if resize is None else [resize]
        image = self._decode(data, *resizes_to, rendering=rendering, **_chosen(bands))
        with self._changed:
            self.decoded += 1
        return image

    @decoding()
    def _decode_for(self, model: "SharedDecodingEmbedder", data: bytes) -> PreparedPicture:
        image = self._decoded(model, data)
        note = note_on(image)
        return PreparedPicture(model.embedder.prepare_image(image), note)

    @decoding()
    def _decode_for_all(self, model: "SharedDecodingEmbedder", digest: bytes, data: bytes) -> PreparedPicture:
        image = self._decoded(model, data)
        others = [
            other
            for other in self._models
            if other is not model and other.rules in (None, model.rules) and other.is_working()
        ]
        note = note_on(image)
        # A copy for each but the last: a team's own embedder may well change the picture in place (Pillow's thumbnail).
        prepared = model.embedder.prepare_image(image.copy() if others else image)
        for place, other in enumerate(others, 1):
            try:
                mine = image if place == len(others) else image.copy()
                self._keep((digest, other.place), PreparedPicture(other.embedder.prepare_image(mine), note))
            except Exception as error:  # it meets the error itself when it asks
                log.info("an image was not preprocessed for %s: %s", other.embedder.name, error)
        return PreparedPicture(prepared, note)

    def _keep(self, key: tuple[bytes, int], picture: PreparedPicture) -> None:
        with self._changed:
            if key in self._kept:
                self._take(key)
            self._kept[key] = picture
            self._kept_bytes += weight(picture.prepared)
            while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                self._take(next(iter(self._kept)))

    def _take(self, key: tuple[bytes, int]) -> PreparedPicture:
        picture = self._kept.pop(key)
        self._kept_bytes -= weight(picture.prepared)
        return picture

    def _wait_for_slower(self, model: "SharedDecodingEmbedder") -> None:
        """Hold a model that is far ahead: both compute on one machine, so waiting costs no time in the end."""

        def may_go() -> bool:
            asking_since = time.monotonic() - STANDING_SECONDS
            others = [
                other.asked
                for other in self._models
                if other is not model and other.is_working() and other.asked_at > asking_since
            ]
            return not others or model.asked - min(others) < AHEAD_PICTURES

        with self._changed:
            while not self._changed.wait_for(may_go, timeout=LOOK_SECONDS):
                pass  # others end or pause without notifying: poll


class SharedDecodingEmbedder:
    """Wraps an embedder so that `shared_pictures` decodes and preprocesses its images.

    Attributes:
        place: Its number among those that share.
        asked: Pictures that it asked for.
        asked_at: When it last did, by the monotonic clock.
        rules: Rendering and bands of the pictures that it asks for; None before it has.
        first_resize: None: SharedDecoding has seen to it, or each model resizes for itself.
    """

    first_resize = None

    def __init__(
        self, embedder: Embedder, pictures: SharedDecoding, place: int, is_working: Callable[[], bool]
    ) -> None:
        self.embedder = embedder
        self.shared_pictures = pictures
        self.place = place
        self.is_working = is_working
        self.asked = 0
        self.rules: tuple[int, Bands] | None = None
        self.asked_at = time.monotonic()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the embedder's own
        return getattr(self.embedder, name)


def weight(prepared: Any) -> int:  # noqa: ANN401
    """Return about how many bytes a prepared picture takes."""
    return int(getattr(prepared, "nbytes", 0)) or 200_000


def _chosen(bands: Bands) -> dict[str, Any]:
    """Return the argument for decoders, who need to know of no bands where a collection has chosen none."""
    return {"bands": bands} if bands else {}


def _digest(content_hash: bytes, rendering: int, bands: Bands) -> bytes:
    return content_hash + repr((rendering, *bands)).encode()


def prepare_picture(
    embedder: Embedder, data: bytes, rendering: int = NEWEST, bands: Bands = ()
) -> PreparedPicture:
    """Decode and preprocess one picture, sharing it with other models where the embedder does.

    Args:
        rendering: Version of the rules by which it is rendered: the collection's.
        bands: Shown of a TIFF of many: the collection's.

    Raises:
        ImageError: It does not decode.
    """
    shared: SharedDecoding | None = getattr(embedder, "shared_pictures", None)
    if shared is not None:
        return shared.prepare(cast(SharedDecodingEmbedder, embedder), data, rendering, bands)
    with decoding():
        image = decode_for(embedder, data, rendering, **_chosen(bands))
        note = note_on(image)
        return PreparedPicture(embedder.prepare_image(image), note)


def pass_over(embedder: Embedder, content_hash: bytes, rendering: int, bands: Bands = ()) -> None:
    """Have no picture prepared that is known already; where models share, the others learn of it."""
    shared: SharedDecoding | None = getattr(embedder, "shared_pictures", None)
    if shared is not None:
        shared.pass_over(cast(SharedDecodingEmbedder, embedder), content_hash, rendering, bands)
