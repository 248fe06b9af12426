"""Messages between a process and its decoding children: a JSON object and bytes, never a pickle."""

import json
import socket
import struct
import time
from typing import Any

HEAD = struct.Struct("!II")
"""Bytes of the JSON object and of what follows it."""
MAX_FIELDS_BYTES = 64 * 1024
LATE_BYTES_SECONDS = 0.25
LATE_SECONDS = 10.0


class Ended(Exception):
    """The other side is gone."""


class TooLate(Exception):
    """The other side did not answer in time."""


def send(
    connection: socket.socket, fields: dict[str, Any], payload: bytes, deadline: float | None = None
) -> None:
    """Send a message.

    Args:
        deadline: By time.monotonic(); None for no limit.

    Raises:
        Ended, TooLate
    """
    encoded = json.dumps(fields).encode()
    try:
        connection.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
        head = HEAD.pack(len(encoded), len(payload)) + encoded
        sent = connection.sendmsg([head, payload])
        rest = memoryview(head + payload if sent < len(head) else payload)
        connection.sendall(rest[sent if sent < len(head) else sent - len(head) :])
    except TimeoutError as error:
        raise TooLate from error
    except OSError as error:
        raise Ended from error


def receive(
    connection: socket.socket, max_payload_bytes: int, deadline: float | None = None
) -> tuple[dict[str, Any], bytearray]:
    """Receive a message.

    Raises:
        Ended, TooLate
        ValueError: It is not one: the other side is broken, or in other hands.
    """
    fields_bytes, payload_bytes = HEAD.unpack(_receive(connection, HEAD.size, deadline))
    if fields_bytes > MAX_FIELDS_BYTES or payload_bytes > max_payload_bytes:
        raise ValueError(f"a message of {fields_bytes} + {payload_bytes} bytes")
    fields = json.loads(_receive(connection, fields_bytes, deadline))
    if not isinstance(fields, dict):
        raise ValueError("a message without fields")
    return fields, _receive(connection, payload_bytes, deadline)


def _seconds(deadline: float) -> float:
    """Return how long to wait for the next bytes: even late, what is there is taken; this process may have been stopped."""
    now = time.monotonic()
    return max(deadline - now, min(LATE_BYTES_SECONDS, deadline + LATE_SECONDS - now), 0.001)


def _receive(connection: socket.socket, length: int, deadline: float | None) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    done = 0
    while done < length:
        try:
            connection.settimeout(None if deadline is None else _seconds(deadline))
            count = connection.recv_into(view[done:])
        except TimeoutError as error:
            raise TooLate from error
        except OSError as error:
            raise Ended from error
        if not count:
            raise Ended
        done += count
    return data
