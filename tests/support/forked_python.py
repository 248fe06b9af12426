"""Python processes forked from one that has imported what they need: a start takes a tenth of the CPU time.

`run_forked` is `subprocess.run` for tests that run many commands one after the other and are not about how a process starts
(tests/django/test_stock_project.py is). There are two to fork from: one with Django and this package, and one with what loads
a model besides, which is 3 of the 4 s that `imgvec search` takes. Each fork is a process of its own: folder, environment,
arguments, files and whatever is imported from its folder.
"""

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from lean_processes import without_transformers

IMPORTED = (
    "alembic.command",
    "django.contrib.admin.sites",
    "django.contrib.auth.hashers",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.db.models",
    "django.urls",
    "imgvec_pg.backfill.worker",
    "imgvec_pg.cli.commands.backfill",
    "imgvec_pg.cli.commands.collection.group",
    "imgvec_pg.cli.commands.verify",
    "imgvec_pg.cli.exit_codes",
    "imgvec_pg.django",
    "sqlalchemy.dialects.postgresql.psycopg",
)
"""What needs no settings and takes long; no torch, which some tests want absent, and not `imgvec_pg.cli.main`, the module that
hides the function which `imgvec` calls."""
WITH_MODELS = "with-models"
ONE_AT_A_TIME = threading.Lock()


@cache
def origin(*, with_models: bool) -> "subprocess.Popen[str]":
    """Start the process that is forked from; it ends with this one."""
    # Libraries of models warn while they are imported.
    options = [__file__, WITH_MODELS] if with_models else ["-W", "error", __file__]
    process = subprocess.Popen(
        [sys.executable, *options],
        env=without_transformers() if with_models else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def close() -> None:
        process.communicate()

    atexit.register(close)
    return process


def run_forked(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    answers: str = "",
    with_models: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run `python -W error ARGUMENTS…` in a folder: a script, -m and a module, or -c and code; one at a time.

    Args:
        with_models: Fork where torch and OpenCLIP are imported, without transformers and without `-W error`. They have computed
            nothing there, so no threads are lost.
    """
    process = origin(with_models=with_models)
    assert process.stdin is not None
    assert process.stdout is not None
    with ONE_AT_A_TIME, tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("input", "output", "errors")]
        files[0].write_text(answers)
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "files": [str(file) for file in files],
        }
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        output, errors = (file.read_text() for file in files[1:])
    return subprocess.CompletedProcess(list(arguments), code, output, errors)


def take_request() -> dict[str, Any] | None:
    """Fork for each request and tell how each fork ended; return the request in a fork, None at the end of the requests."""
    # Unbuffered: a fork has no part of what its siblings are told.
    with open(0, "rb", buffering=0, closefd=False) as requests:
        for line in iter(requests.readline, b""):
            pid = os.fork()
            if pid == 0:
                request: dict[str, Any] = json.loads(line)
                return request
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.write(1, f"{code}\n".encode())
    return None


def become(request: dict[str, Any]) -> None:
    """Take over a request's files, folder, environment and arguments, as a new interpreter has them."""
    flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
    for number, (name, flag) in enumerate(zip(request["files"], flags, strict=True)):
        opened = os.open(name, flag, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    for name, mode, number in (("stdin", "r", 0), ("stdout", "w", 1), ("stderr", "w", 2)):
        setattr(sys, name, os.fdopen(number, mode, closefd=False))
    os.chdir(request["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*given, *(path for path in sys.path[1:] if path not in before)]


def run(arguments: list[str]) -> int:
    """Run a script or code as `python` does and return its exit code."""
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


if __name__ == "__main__":
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
        os._exit(result)
