"""What a private server takes while something runs: processor time of its processes, memory that they have for themselves."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.25


@dataclass
class Use:
    """What was used: seconds by the clock, processor seconds of all processes of the server, and memory in bytes.

    Attributes:
        anonymous: The most memory that one process of the server had for itself at once (RssAnon of proc(5)), sampled; a
            build's graph where no parallel worker takes part. Shared buffers are not in it.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    anonymous: int = 0


def process_fields(pid: int | str) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name: state, parent, ..., from the 12th on times; none if it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def children(parent: int) -> Iterator[str]:
    """Give the process ids of those that a process has started and that live."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            fields = process_fields(path.name)
            if fields and int(fields[1]) == parent:
                yield path.name


def processor_seconds(postmaster: int) -> float:
    """Return the processor seconds of a server's processes, those that ended among them."""
    total = sum(map(int, process_fields(postmaster)[11:15]))
    for pid in children(postmaster):
        fields = process_fields(pid)
        if fields:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def anonymous_bytes(pid: int | str) -> int:
    """Return the memory that a process has for itself now, 0 if it ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), 0)


@contextmanager
def watched(postmaster: int) -> Iterator[Use]:
    """Give a Use that is filled in at the end."""
    use, done = Use(), threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            use.anonymous = max([use.anonymous, *map(anonymous_bytes, children(postmaster))])

    thread = threading.Thread(target=sample, daemon=True)
    before, began = processor_seconds(postmaster), time.perf_counter()
    thread.start()
    try:
        yield use
    finally:
        use.seconds = time.perf_counter() - began
        done.set()
        thread.join()
        use.cpu = processor_seconds(postmaster) - before
