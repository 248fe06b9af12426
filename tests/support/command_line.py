"""The command line within this process."""

from collections.abc import Callable

import pytest

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli

Said = tuple[int, str, str]
"""Exit code, stdout and stderr."""
Imgvec = Callable[..., Said]


def command_line(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Imgvec:
    """Return what runs a command over a database and tells what it said."""
    monkeypatch.setenv("IMGVEC_DSN", database)

    def command(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(cli, arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command
