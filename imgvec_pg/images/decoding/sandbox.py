"""Sandbox: decode untrusted images in a small pool of child processes, shared by all threads."""

import atexit
import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.resize import Resize
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.decoder_process import BYTES_PER_PIXEL, Decoder, KilledError
from imgvec_pg.images.decoding.header import ImageDescription
from imgvec_pg.images.limits import decode_memory_bytes, max_aspect, max_image_bytes, max_pixels
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.version import NEWEST, require_known
from imgvec_pg.processors import usable_cpus
from imgvec_pg.settings import more_formats, worker_cpus

PICTURES_PER_CHILD = 5000
"""A child is replaced then, should a decoder lose memory."""


def decode_sandboxed(
    data: bytes, resize: Resize | None = None, *, rendering: int = NEWEST, bands: Bands = ()
) -> Image.Image:
    """Decode an image as `decode_image` does, in a child of limited memory and time.

    Args:
        resize: Done to it there, which spares copying all its pixels and, from rendering 2 on, decoding them.
        rendering: Version of the rules, a collection's own where it is embedded or asked for.
        bands: Shown of a TIFF of many; likewise.

    Returns:
        An image of mode RGB, with `notes` in its `info`.

    Raises:
        ImageError: What `decode_image` raises, or `decode_limit`: it takes too much memory or time, or its decoder
            crashed. Transient where that may have had a cause outside.
        DecoderError: No child can be started; the picture is not to blame.
        UsageError: A later release's rendering.
    """
    request = {
        "describe": False,
        "compare": None,
        "resize": None if resize is None else vars(resize),
        "rendering": require_known(rendering),
        "bands": bands,
    }
    fields, pixels = _ask(request, data)
    image = Image.frombytes("RGB", tuple(fields["size"]), pixels)
    image.info["notes"] = tuple(fields["notes"])
    return image


def decode_for(embedder: Embedder, data: bytes, rendering: int, bands: Bands = ()) -> Image.Image:
    """Decode an image as a model takes it: resized already where the model says how (`first_resize`).

    Args:
        rendering, bands: Of the collection that it is for.

    Raises:
        ImageError, DecoderError, UsageError: As `decode_sandboxed`.
    """
    return decode_sandboxed(data, getattr(embedder, "first_resize", None), rendering=rendering, bands=bands)


def describe_sandboxed(data: bytes) -> ImageDescription:
    """Read an image's header as `describe_image` does, in a child of limited memory and time.

    Raises:
        ImageError, DecoderError: As `decode_sandboxed`.
    """
    fields, _ = _ask({"describe": True, "compare": None, "resize": None}, data)
    return ImageDescription.from_fields(fields)


def compare_sandboxed(data: bytes, older: int, newer: int = NEWEST, bands: Bands = ()) -> float:
    """Compare renderings of an image as `compare_renderings` does, in a child of limited memory and time.

    Raises:
        ImageError, DecoderError: As `decode_sandboxed`.
    """
    versions = [require_known(older), require_known(newer)]
    fields, _ = _ask({"describe": False, "compare": versions, "resize": None, "bands": bands}, data)
    return float(fields["difference"])


def _ask(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(data) > max_image_bytes():
        raise ImageError(
            "too_large",
            f"the image has {len(data)} bytes, at most {max_image_bytes()} are decoded: raise IMGVEC_MAX_BYTES",
        )
    return shared_pool().ask(request, data)


class DecodingPool:
    """Children that decode for any number of threads, started when they are needed.

    Args:
        size: Children at once.
    """

    def __init__(self, size: int) -> None:
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Used] = []
        # The kernel ties a child to the thread that starts it: this one lives as long as the pool.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="imgvec-decoders")

    def ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], memoryview]:
        """Have a picture seen to by the next child that is free.

        Raises:
            ImageError, DecoderError: As `decode_sandboxed`.
        """
        with self._slots:
            try:
                return self._ask_one(request, data)
            except KilledError:
                # Perhaps of something else, such as a shortage of memory that is over.
                return self._ask_one(request, data)

    def _ask_one(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], memoryview]:
        used = self._take()
        used.pictures += 1
        try:
            return used.decoder.ask(request, data, max_pixels() * BYTES_PER_PIXEL)
        finally:
            if used.pictures >= PICTURES_PER_CHILD or used.decoder.is_spent:
                used.decoder.close()
            else:
                with self._lock:
                    self._idle.append(used)

    def _take(self) -> "_Used":
        while True:
            with self._lock:
                used = self._idle.pop() if self._idle else None
            if used is None:
                return _Used(self._starter.submit(Decoder).result())
            if used.decoder.is_alive():
                return used
            used.decoder.close()

    def pids(self) -> list[int]:
        """Return the idle children's process ids."""
        with self._lock:
            return [used.decoder.pid for used in self._idle]

    def close(self) -> None:
        """End the idle children; those at work end with the process."""
        with self._lock:
            idle, self._idle = self._idle, []
        for used in idle:
            used.decoder.close()
        self._starter.shutdown(wait=False)

    def forget(self) -> None:
        """Let go of the children without ending them: they are another process's."""
        for used in self._idle:
            with contextlib.suppress(OSError):
                used.decoder.forget()


class _Used:
    """A child and how many pictures it has had."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.pictures = 0


_pool: DecodingPool | None = None
_pool_lock = threading.Lock()


def shared_pool() -> DecodingPool:
    """Return this process's pool: a child for each CPU that is its own, and one that works while another is asked.

    Raises:
        UsageError: The children's settings cannot be understood.
    """
    global _pool
    with _pool_lock:
        if _pool is None:
            for read in (more_formats, max_aspect, decode_memory_bytes):
                read()
            _pool = DecodingPool((worker_cpus() or usable_cpus()) + 1)
        return _pool


@atexit.register
def close_pool() -> None:
    """End the children; the next picture starts others."""
    global _pool
    with _pool_lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.close()


def _forget_pool() -> None:
    global _pool, _pool_lock
    _pool_lock = threading.Lock()
    if _pool is not None:
        _pool.forget()
        _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
