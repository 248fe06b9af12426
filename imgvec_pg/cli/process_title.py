"""Process title: hide passwords from the list of processes, which every user of a machine can read."""

import os
import sys
from collections.abc import Sequence

from imgvec_pg.redaction import has_secret


def without_dsn(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Return arguments without --dsn, and its value, None where there is none."""
    kept: list[str] = []
    dsn = None
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            return [*kept, argument, *left], dsn
        if argument == "--dsn":
            dsn = next(left, None)
        elif argument.startswith("--dsn="):
            dsn = argument.removeprefix("--dsn=")
        else:
            kept.append(argument)
    return kept, dsn


def hide_dsn_from_process_list() -> None:
    """Where --dsn holds a password, become the same command with IMGVEC_DSN instead: an environment is read by its own user only.

    It keeps the process id. For the moment before, the password was to be seen: IMGVEC_DSN, PGPASSWORD or ~/.pgpass avoid that.
    """
    kept, dsn = without_dsn(sys.argv[1:])
    interpreter = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    if dsn is None or not has_secret(dsn) or not sys.executable:
        return
    try:
        os.execve(sys.executable, [sys.executable, *interpreter, *kept], {**os.environ, "IMGVEC_DSN": dsn})  # noqa: S606 - ourselves
    except OSError:
        return
