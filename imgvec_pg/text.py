"""Values as people read them: sizes, durations, counts, paths."""

import re

PATH = re.compile(r"(/|\.{1,2}/|[A-Za-z][A-Za-z0-9+.-]*://|[^\s/]+/)\S")

COMMANDS = (
    "add",
    "backfill",
    "browse",
    "calibrate",
    "classify",
    "collection",
    "completion",
    "demo",
    "doctor",
    "duplicates",
    "export",
    "failures",
    "fuse",
    "import",
    "index",
    "library",
    "map",
    "matrix",
    "migrate",
    "model",
    "page",
    "recall",
    "recommend",
    "retry",
    "search",
    "server",
    "shard",
    "status",
    "uninstall",
    "verify",
    "words",
    "worker",
)
"""What `imgvec` can be followed by; a test holds them to the commands themselves."""
COMMAND = re.compile(rf"(?<![\w./-])(?<!manage\.py )(?<!flask )imgvec(?= (?:{'|'.join(COMMANDS)})\b)")


def as_typed(text: str, command: str) -> str:
    """Have a text advise our commands as they are typed here: "flask imgvec worker" for "imgvec worker"."""
    return COMMAND.sub(command, text)


def is_path(text: str) -> bool:
    """Whether a text looks like a path or a URL, whose end tells more than its beginning."""
    return PATH.match(text) is not None


def shorten_path(path: str, length: int) -> str:
    """Return a path of at most this many characters: its end, after an ellipsis where it was cut."""
    return path if len(path) <= length else "…" + path[len(path) - length + 1 :]


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def clock(seconds: float) -> str:
    """Return "1:02:03" or "2:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counted(count: int, noun: str, verb: str = "") -> str:
    """Return "1 row waits" or "1,234 rows wait"; the verb is given as "wait"."""
    words = f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
    return f"{words} {verb}s" if verb and count == 1 else f"{words} {verb}".rstrip()
