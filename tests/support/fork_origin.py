"""The process that tests/support/forked_python.py forks from: `python fork_origin.py [with-models]`.

It reads requests from its standard input, one a line (JSON), and writes to its standard output `forked PID` for each, and
`ended PID CODE` (negative for a signal) when that process has ended. A request names arguments, folder, environment, the files
to take as standard input, output and errors, and whether warnings are errors.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import sys
import threading
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

IMPORTED = (
    "alembic.command",
    "django.contrib.admin.sites",
    "django.contrib.auth.hashers",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.db.models",
    "django.urls",
    "imgvec_pg.alembic.autogenerate",
    "imgvec_pg.backfill.worker",
    "imgvec_pg.cli.commands.backfill",
    "imgvec_pg.cli.commands.collection.group",
    "imgvec_pg.cli.commands.index.group",
    "imgvec_pg.cli.commands.migrate",
    "imgvec_pg.cli.commands.search",
    "imgvec_pg.cli.commands.verify",
    "imgvec_pg.cli.exit_codes",
    "imgvec_pg.django",
    "imgvec_pg.store.mixin",
    "imgvec_pg.store.schema",
    "imgvec_pg.store.setup.stale_functions",
    "pgvector.sqlalchemy",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.orm",
)
"""What needs no settings and takes long; no torch, which some tests want absent, and not `imgvec_pg.cli.main`, the module that
hides the function which `imgvec` calls."""
WITH_MODELS = "with-models"
REQUESTS, ANSWERS = 0, 1


def take_request() -> dict[str, Any] | None:
    """Fork for each request and tell how each fork ended; return the request in a fork, None at the end of the requests."""
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    # A handler of Python's own: a signal that is ignored by default wakes nobody.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    received = b""
    while True:
        ready, _, _ = select.select([REQUESTS, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            tell_ended()
        if REQUESTS not in ready:
            continue
        data = os.read(REQUESTS, 65536)
        if not data:
            return None
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(ended)
                os.close(wake)
                request: dict[str, Any] = json.loads(line)
                return request
            os.write(ANSWERS, f"forked {pid}\n".encode())


def tell_ended() -> None:
    """Tell of each fork that ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        os.write(ANSWERS, f"ended {pid} {os.waitstatus_to_exitcode(status)}\n".encode())


def become(request: dict[str, Any]) -> None:
    """Take over a request's files, folder, environment and arguments, as a new interpreter has them."""
    flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, (name, flag) in enumerate(zip(request["files"], flags, strict=True)):
        opened = os.open(name, flag, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    for name, mode, number in (("stdin", "r", 0), ("stdout", "w", 1), ("stderr", "w", 2)):
        # Errors are written line by line, as an interpreter does.
        setattr(sys, name, os.fdopen(number, mode, 1 if number == 2 else -1, closefd=False))
    if not request["warnings_are_errors"]:
        warnings.resetwarnings()
    os.chdir(request["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*given, *(path for path in sys.path[1:] if path not in before)]


def run(arguments: list[str]) -> int:
    """Run a script or code as `python` does and return its exit code."""
    # A command whose --dsn has a password starts itself again by it.
    sys.orig_argv = [sys.executable, *arguments]
    try:
        if arguments[0] == "-c":
            sys.path.insert(0, "")
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - of a test
        elif arguments[0] == "-m":
            sys.path.insert(0, str(Path.cwd()))
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Import, fork as asked; in a fork do what is asked and end."""
    for module in IMPORTED:
        import_module(module)
    if sys.argv[1:] == [WITH_MODELS]:
        import_module("imgvec_pg.embedding.runtime").import_open_clip()
        import_module("imgvec_pg.embedding.torch_models.openclip_embedder")
    gc.freeze()
    asked = take_request()
    if asked is not None:
        become(asked)
        result = run(asked["arguments"])
        # All that a user's code is told of the end; to take the modules apart is most of what a short process costs.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(result & 0xFF)


if __name__ == "__main__":
    main()
