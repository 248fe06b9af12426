"""Decoding child process: `python -m imgvec_pg.images.decoding.child PARENT MEMORY_BYTES CPU_SECONDS`.

Its standard input is a socket.
It gets encoded pictures and gives back pixels or the reason why not. Whatever a picture does to it, it does to this
process alone.
"""

import logging
import socket
import sys
from typing import Any

from PIL import Image

from imgvec_pg.embedding.resize import Resize
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.header import describe_image
from imgvec_pg.images.decoding.protocol import Ended, new_buffer, receive, send
from imgvec_pg.images.decoding.rendering_difference import compare_renderings
from imgvec_pg.images.decoding.resource_limits import (
    allow_cpu,
    confine,
    forget_shortage,
    was_short_of_memory,
)
from imgvec_pg.images.decoding.shrink import decode_resized
from imgvec_pg.images.limits import max_image_bytes, max_pixels


def main() -> None:
    """Answer until the parent is gone."""
    parent, memory_bytes, cpu_seconds = (int(argument) for argument in sys.argv[1:4])
    confine(memory_bytes, parent)
    # Beyond it Pillow refuses the frames of an animation by itself.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels())
    logging.disable()  # libraries tell of what they go on with, and nobody reads it
    connection = socket.socket(fileno=0)
    connection.setblocking(False)
    buffer = new_buffer()
    send(connection, {"ready": True}, b"")
    while True:
        try:
            request, data = receive(connection, buffer, max_image_bytes())
            allow_cpu(cpu_seconds)
            send(connection, *_answer(request, bytes(data), memory_bytes))
        except Ended:
            return


def _answer(request: dict[str, Any], data: bytes, memory_bytes: int) -> tuple[dict[str, Any], bytes]:
    forget_shortage()
    try:
        if request["describe"]:
            return describe_image(data).as_fields(), b""
        if request["compare"] is not None:
            return {
                "difference": compare_renderings(data, *request["compare"], bands=request.get("bands", ()))
            }, b""
        resize = None if request["resize"] is None else Resize(**request["resize"])
        image = decode_resized(data, resize, request["rendering"], request.get("bands", ()))
        return {"size": image.size, "notes": image.info["notes"]}, image.tobytes()
    except ImageError as error:
        if error.code == "truncated" and was_short_of_memory():
            return _too_much(memory_bytes), b""
        return {"code": error.code, "message": str(error)}, b""
    except MemoryError:
        return _too_much(memory_bytes), b""


def _too_much(memory_bytes: int) -> dict[str, Any]:
    limit = memory_bytes // 1024**2
    way_out = "store it smaller, or raise IMGVEC_MAX_PIXELS, which it follows"
    return {"code": "decode_limit", "message": f"decoding takes more than {limit} MiB: {way_out}"}


if __name__ == "__main__":
    main()
