"""Python processes forked from one that has imported what they need: a start takes a tenth of the CPU time.

`run_forked` is `subprocess.run`, and `ForkedProcess` `subprocess.Popen`, for tests that run many commands and are not about how a
process starts (tests/django/test_stock_project.py is). There are two to fork from (fork_origin.py): one with Django and this
package, and one with what loads a model besides, which is 3 of the 4 s that `imgvec search` takes. Each fork is a process of its
own: folder, environment, arguments, files and whatever is imported from its folder.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fork_origin import WITH_MODELS
from lean_processes import without_transformers

ORIGIN = Path(__file__).with_name("fork_origin.py")


class Origin:
    """A process that is forked from; it ends with this one. Any thread may ask.

    Args:
        with_models: Libraries of models are imported too, without transformers, and warnings are no errors: those libraries warn
            while they are imported. They have computed nothing there, so no threads are lost.
    """

    def __init__(self, *, with_models: bool) -> None:
        options = [str(ORIGIN), WITH_MODELS] if with_models else ["-W", "error", str(ORIGIN)]
        self._process = subprocess.Popen(
            [sys.executable, *options],
            env=without_transformers() if with_models else None,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self._process.communicate)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout.fileno()
        self._lock = threading.Lock()
        self._received = b""
        self._forked: list[int] = []
        self._codes: dict[int, int] = {}

    def fork(self, request: Mapping[str, Any]) -> int:
        """Have a request of `fork_origin` done and return the process id."""
        with self._lock:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            while not self._forked:
                self._receive(None)
            return self._forked.pop()

    def code(self, pid: int, seconds: float = 0.0) -> int | None:
        """Return how a process ended, negative for a signal; None where it has not ended within so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            with self._lock:
                self._receive(0.0)
                if pid in self._codes:
                    return self._codes.pop(pid)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            # Without the lock, since others fork and wait too; and not for long, as they may take the answer.
            select.select([self._answers], [], [], min(left, 0.05))

    def _receive(self, seconds: float | None) -> None:
        """Read what has been answered, or is within so many seconds; None waits."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return
        data = os.read(self._answers, 65536)
        assert data, f"the process that is forked from ended with {self._process.wait()}"
        *lines, self._received = (self._received + data).split(b"\n")
        for kind, *numbers in map(bytes.split, lines):
            if kind == b"forked":
                self._forked.append(int(numbers[0]))
            else:
                self._codes[int(numbers[0])] = int(numbers[1])


origin = cache(Origin)


class ForkedProcess:
    """What `subprocess.Popen` is, of `python ARGUMENTS…`: a script, -m and a module, or -c and code.

    Args:
        files: Names of standard input, output and errors; what is written is appended.
        with_models: Fork where torch and OpenCLIP are imported too; there warnings are never errors.

    Attributes:
        pid: Its process id.
        returncode: None until it was seen to have ended.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        files: Sequence[Path],
        folder: Path,
        environment: Mapping[str, str],
        with_models: bool = False,
        warnings_are_errors: bool = True,
    ) -> None:
        self._origin = origin(with_models=with_models)
        self._arguments = list(arguments)
        self.returncode: int | None = None
        self.pid = self._origin.fork(
            {
                "arguments": self._arguments,
                "folder": str(folder),
                "environment": dict(environment),
                "files": [str(file) for file in files],
                "warnings_are_errors": warnings_are_errors,
            }
        )

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None:
            self.returncode = self._origin.code(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended.

        Raises:
            subprocess.TimeoutExpired: It has not, within so many seconds.
        """
        if self.returncode is None:
            self.returncode = self._origin.code(self.pid, float("inf") if timeout is None else timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def run_forked(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    answers: str = "",
    with_models: bool = False,
    warnings_are_errors: bool = True,
) -> "subprocess.CompletedProcess[str]":
    """Run `python -W error ARGUMENTS…` in a folder, as `ForkedProcess` does, to its end.

    Args:
        answers: Its standard input.
    """
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("input", "output", "errors")]
        files[0].write_text(answers)
        process = ForkedProcess(
            arguments,
            files=files,
            folder=folder,
            environment=environment,
            with_models=with_models,
            warnings_are_errors=warnings_are_errors,
        )
        code = process.wait()
        output, errors = (file.read_text() for file in files[1:])
    return subprocess.CompletedProcess(list(arguments), code, output, errors)
