"""Messages to and from decoding children: whole however they come in, and refused where they are none."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from imgvec_pg.images.decoding.protocol import BUFFER_BYTES, HEAD, Ended, TooLate, new_buffer, receive, send


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def soon() -> float:
    return time.monotonic() + 60


@pytest.mark.parametrize("length", [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, 5 * BUFFER_BYTES])
def test_a_message_of_any_length_arrives(ends: tuple[socket.socket, socket.socket], length: int) -> None:
    """The longest do not fit into the socket: the sender waits for the receiver."""
    ours, theirs = ends
    payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
    sending = threading.Thread(target=send, args=(theirs, {"size": [3, 2]}, payload, soon()))
    sending.start()
    fields, received = receive(ours, new_buffer(), length, soon())
    sending.join()
    assert (fields, received) == ({"size": [3, 2]}, payload)


def test_a_message_in_pieces_is_one(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    message = HEAD.pack(13, 4) + b'{"size": [1]}' + b"abcd"

    def dribble() -> None:
        for place in range(len(message)):
            theirs.send(message[place : place + 1])
            time.sleep(0.001)

    sending = threading.Thread(target=dribble)
    sending.start()
    assert receive(ours, new_buffer(), 4, soon()) == ({"size": [1]}, b"abcd")
    sending.join()


@pytest.mark.parametrize(
    "message",
    [
        HEAD.pack(2, 5) + b"{}",
        HEAD.pack(2**20, 0),
        HEAD.pack(2, 0) + b"[]",
        HEAD.pack(2, 0) + b"{,",
        HEAD.pack(2, 4) + b"{}" + b"abcde",
    ],
    ids=["too many bytes", "too many fields", "no fields", "no JSON", "more than was announced"],
)
def test_what_is_no_message_is_refused(ends: tuple[socket.socket, socket.socket], message: bytes) -> None:
    ours, theirs = ends
    theirs.send(message)
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own among them
        receive(ours, new_buffer(), 4, soon())


def test_the_other_side_may_be_gone_or_say_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    with pytest.raises(TooLate):
        receive(ours, new_buffer(), 0, time.monotonic() + 0.1)
    with pytest.raises(TooLate):  # it does not read
        send(ours, {}, bytes(50_000_000), time.monotonic() + 0.1)
    theirs.send(HEAD.pack(2, 4) + b"{}ab")
    theirs.close()
    with pytest.raises(Ended):
        receive(ours, new_buffer(), 4, soon())
