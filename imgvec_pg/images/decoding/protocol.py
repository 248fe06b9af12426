"""Wire protocol between a process and its decoding children: a JSON object and bytes, never a pickle.

Each end is non-blocking and has one message under way. System calls are few: each lets the process's other threads in,
which a small picture waits for longer than for its pixels.
"""

import json
import math
import select
import socket
import struct
import time
from typing import Any

HEAD = struct.Struct("!II")
"""Bytes of the JSON object and of what follows it."""
MAX_FIELDS_BYTES = 32 * 1024
BUFFER_BYTES = 512 * 1024
"""Holds a message whose picture has a model's size, or is encoded and small: larger ones are copied once more."""
LATE_BYTES_SECONDS = 0.25
LATE_SECONDS = 10.0


class Ended(Exception):
    """The other side is gone."""


class TooLate(Exception):
    """The other side did not answer in time."""


def send(
    connection: socket.socket,
    fields: dict[str, Any],
    payload: bytes,
    deadline: float | None = None,
) -> None:
    """Send a message.

    Args:
        deadline: By time.monotonic(); None for no limit.

    Raises:
        Ended, TooLate
    """
    encoded = json.dumps(fields).encode()
    parts = [memoryview(HEAD.pack(len(encoded), len(payload)) + encoded), memoryview(payload)]
    while parts:
        try:
            sent = connection.sendmsg(parts)
        except BlockingIOError:
            _wait(connection, select.POLLOUT, None if deadline is None else deadline - time.monotonic())
            continue
        except OSError as error:
            raise Ended from error
        while parts and sent >= len(parts[0]):
            sent -= len(parts.pop(0))
        if parts:
            parts[0] = parts[0][sent:]


def new_buffer() -> bytearray:
    """Return what `receive` reads into; for one message at a time."""
    return bytearray(BUFFER_BYTES)


def receive(
    connection: socket.socket, buffer: bytearray, max_payload_bytes: int, deadline: float | None = None
) -> tuple[dict[str, Any], memoryview]:
    """Receive a message.

    Returns:
        Its fields and bytes, which stay as they are until the buffer is used again.

    Raises:
        Ended, TooLate
        ValueError: It is not one: the other side is broken, or in other hands.
    """
    start = memoryview(buffer)
    _wait(connection, select.POLLIN, _seconds(deadline))
    count = _receive(connection, start, HEAD.size, deadline)
    fields_bytes, payload_bytes = HEAD.unpack(start[: HEAD.size])
    if fields_bytes > MAX_FIELDS_BYTES or payload_bytes > max_payload_bytes:
        raise ValueError(f"a message of {fields_bytes} + {payload_bytes} bytes")
    body = HEAD.size + fields_bytes
    count += _receive(connection, start[count:], body - count, deadline)
    if count > body + payload_bytes:
        raise ValueError("more than a message")
    try:
        fields = json.loads(bytes(start[HEAD.size : body]))
    except RecursionError as error:
        raise ValueError("a message nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("a message without fields")
    begun = count - body
    payload = start[body : body + payload_bytes]
    if len(payload) < payload_bytes:
        payload = memoryview(bytearray(payload_bytes))
        payload[:begun] = start[body:count]
    _receive(connection, payload[begun:], payload_bytes - begun, deadline)
    return fields, payload


def _receive(connection: socket.socket, view: memoryview, least: int, deadline: float | None) -> int:
    """Receive at least that many bytes, and what else is there and fits; return how many."""
    done = 0
    while done < least:
        try:
            count = connection.recv_into(view[done:])
        except BlockingIOError:
            _wait(connection, select.POLLIN, _seconds(deadline))
            continue
        except OSError as error:
            raise Ended from error
        if not count:
            raise Ended
        done += count
    return done


def _seconds(deadline: float | None) -> float | None:
    """Return how long to wait for the next bytes: even late, what is there is taken; this process may have been stopped."""
    if deadline is None:
        return None
    now = time.monotonic()
    return max(deadline - now, min(LATE_BYTES_SECONDS, deadline + LATE_SECONDS - now))


def _wait(connection: socket.socket, event: int, seconds: float | None) -> None:
    poll = select.poll()
    poll.register(connection, event)
    if not poll.poll(None if seconds is None else max(math.ceil(seconds * 1000), 1)):
        raise TooLate
