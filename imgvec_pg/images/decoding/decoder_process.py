"""Parent's handle of one decoding child process: one image at a time, killed at its time limit; its replies are validated."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from imgvec_pg.errors import DecoderError, ImageError
from imgvec_pg.images.decoding.header import ImageDescription
from imgvec_pg.images.decoding.protocol import Ended, TooLate, new_buffer, receive, send
from imgvec_pg.images.limits import decode_cpu_seconds, decode_memory_bytes, decode_seconds, max_pixels
from imgvec_pg.images.rendering.notes import NOTES

CODES = frozenset({"empty", "unidentified", "format_denied", "truncated", "too_large", "decode_limit"})
"""Reasons that a child may give; docs/reference/errors.md."""
_MEDIA_TYPE = re.compile(r"image/[a-z0-9.+-]{1,40}")
_MAX_SIDE = 2**31 - 1


def check_reply(request: dict[str, Any], reply: dict[str, Any], pixels: memoryview) -> None:
    """Look at each field of an answer.

    Args:
        request: What was asked: whether to `describe`, or what to `compare`.

    Raises:
        ValueError: It is no answer to that.
    """
    try:
        if "code" in reply:
            _require(isinstance(reply["code"], str) and reply["code"] in CODES, "code")
            _require(isinstance(reply["message"], str), "message")
        elif request["describe"]:
            _require(all(_is_side(reply[name]) for name in ("width", "height")), "size")
            _require(_MEDIA_TYPE.fullmatch(reply["media_type"]) is not None, "media_type")
            ImageDescription.from_fields(reply)
        elif request["compare"] is not None:
            difference = reply["difference"]
            _require(type(difference) is float and 0.0 <= difference <= 255.0, "difference")
        else:
            width, height = reply["size"]
            _require(_is_side(width) and _is_side(height) and width * height <= max_pixels(), "size")
            _require(len(pixels) == 3 * width * height, "length")
            notes = reply["notes"]
            _require(
                isinstance(notes, list) and all(isinstance(note, str) and note in NOTES for note in notes),
                "note",
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an answer without what was asked for: {error}") from error


def _require(is_met: bool, what: str) -> None:
    if not is_met:
        raise ValueError(f"an answer with a {what} that cannot be")


def _is_side(value: object) -> bool:
    return type(value) is int and 0 < value <= _MAX_SIDE


START_SECONDS = 60.0
BYTES_PER_PIXEL = 3
# What a child may know of its parent's environment: no password, no connection string.
KEPT_VARIABLES = (
    "PATH",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SYSTEMROOT",
    *("IMGVEC_FORMATS", "IMGVEC_MAX_PIXELS", "IMGVEC_MAX_ASPECT", "IMGVEC_MAX_BYTES"),
)
# What one picture took is kept for the next: else the kernel empties each one's pages anew, a fifth of a small picture's time.
# glibc comes to such values by itself in a process that had larger blocks (mallopt(3)).
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(64 * 1024**2)}
# LibRaw's developing and OpenBLAS would start a thread for each CPU, each with a stack out of the child's memory.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TIFFFILE_NUM_THREADS": "1"}
SOCKET_BYTES = 1024 * 1024
OWN_DOING = (
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSYS,
    signal.SIGTRAP,
)
"""Signals that only the code itself can bring about; any other may have come from outside."""


_of_thread = threading.local()


class KilledError(ImageError):
    """A child died, for a reason that may lie outside: the machine was short of memory, or somebody killed it."""


class Decoder:
    """A running child.

    Attributes:
        is_spent: It is gone, or no longer in a state to be asked again.
    """

    def __init__(self) -> None:
        """Start a child; the thread that does this must live as long: the kernel ties the child to it.

        Raises:
            DecoderError: It does not start.
        """
        self.is_spent = False
        self._connection, theirs = socket.socketpair()
        for end in (self._connection, theirs):
            # Fewer turns between the two; the kernel gives what it allows.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            end.setblocking(False)
        with tempfile.TemporaryFile() as complaints:
            try:
                # Only the child may hold its end: else its death would not be seen.
                with theirs:
                    self._process = subprocess.Popen(
                        _command(),
                        stdin=theirs.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=complaints,
                        env=_environment(),
                        cwd="/",
                        process_group=0,
                    )
            except OSError as error:
                self._connection.close()
                raise DecoderError(f"no process for decoding can be started: {error}") from error
            try:
                receive(self._connection, new_buffer(), 0, time.monotonic() + START_SECONDS)
            except (Ended, TooLate, ValueError) as error:
                self.close()
                complaints.seek(0)
                lines = [
                    line for line in complaints.read().decode(errors="replace").splitlines() if line.strip()
                ]
                reason = lines[-1].strip() if lines else "it said nothing"
                raise DecoderError(f"the process for decoding ended at its start: {reason}") from error

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return not self.is_spent and self._process.poll() is None

    def ask(
        self, request: dict[str, Any], data: bytes, max_reply_bytes: int, seconds: float | None = None
    ) -> tuple[dict[str, Any], memoryview]:
        """Have one picture decoded.

        Returns:
            The answer's fields and bytes; the bytes stay as they are until this thread asks again, whichever child.

        Raises:
            KilledError: The child died, and perhaps not of this picture.
            ImageError: What the child says of the picture, or `decode_limit` when it died of it or took too long.
        """
        seconds = decode_seconds() if seconds is None else seconds
        deadline = time.monotonic() + seconds
        try:
            send(self._connection, request, data, deadline)
            reply, pixels = receive(self._connection, _own_buffer(), max_reply_bytes, deadline)
            check_reply(request, reply, pixels)
        except TooLate as error:
            self.close()
            raise ImageError(
                "decode_limit", f"decoding took more than {seconds:.0f} s; it was stopped", transient=True
            ) from error
        except Ended as error:
            raise self._explain_death() from error
        except ValueError as error:
            self.close()
            raise ImageError("decode_limit", f"its decoder went astray ({error}): replace it") from error
        except BaseException:
            self.close()
            raise
        if "code" in reply:
            # After it was short of memory, a fresh one is worth its price.
            if reply["code"] == "decode_limit":
                self.close()
            raise ImageError(reply["code"], "".join(filter(str.isprintable, reply["message"])))
        return reply, pixels

    def _explain_death(self) -> ImageError:
        code = self.close()
        if -code == signal.SIGXCPU:
            return ImageError(
                "decode_limit", f"decoding takes more than {decode_cpu_seconds()} s of computing: replace it"
            )
        if -code in OWN_DOING:
            return ImageError(
                "decode_limit", f"its decoder crashed ({signal.Signals(-code).name}): replace it"
            )
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return KilledError("decode_limit", f"its decoder was ended ({how}) with it in hand", transient=True)

    def close(self) -> int:
        """End the child and return its exit code, negative for a signal."""
        self.is_spent = True
        # Closing alone ends it when idle; one that died keeps the code that it has.
        self._connection.close()
        if self._process.poll() is None:
            try:
                return self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def forget(self) -> None:
        """Let go of a child that belongs to the process that this one was forked from."""
        self.is_spent = True
        self._connection.close()
        self._process.returncode = 0


def _own_buffer() -> bytearray:
    """Return this thread's buffer: to empty and fill new memory for each picture takes longer than to copy it."""
    buffer: bytearray | None = getattr(_of_thread, "buffer", None)
    if buffer is None:
        buffer = _of_thread.buffer = new_buffer()
    return buffer


def _command() -> list[str]:
    arguments = [str(os.getpid()), str(decode_memory_bytes()), str(decode_cpu_seconds())]
    # -P: nothing is imported from the folder that a user happens to stand in.
    return [sys.executable, "-P", "-W", "ignore", "-m", "imgvec_pg.images.decoding.child", *arguments]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    folders = [str(Path(folder).absolute()) for folder in sys.path if folder]
    return {**kept, **KEPT_MEMORY, "PYTHONPATH": os.pathsep.join(folders), **ONE_THREAD}
