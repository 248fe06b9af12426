import inspect
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import click
import psycopg
import pytest

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import COMMANDS, cli

IMPORTED = """
import json, sys
from imgvec_pg.cli.main import cli
from imgvec_pg.cli.exit_codes import run
codes = [run(cli, arguments) for arguments in {commands!r}]
print(json.dumps([codes, sorted(sys.modules)]), file=sys.stderr)
"""
HEAVY = {"torch", "torchvision", "open_clip", "timm", "sqlalchemy", "alembic", "numpy", "PIL", "psycopg"}
MODELS = {"torch", "torchvision", "open_clip", "timm"}


def walk(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Give every command with its full name."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, f"{name} is listed and missing"
            yield from walk(found, *path, name)


ALL = dict(walk(cli, "imgvec"))


def imported_by(*commands: list[str]) -> tuple[set[int], set[str]]:
    """Run commands in one process of their own; give their exit codes and the top-level packages imported."""
    code = IMPORTED.format(commands=commands)
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    exit_codes, modules = json.loads(outcome.stderr.splitlines()[-1])
    return set(exit_codes), {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("name", ALL)
def test_command_has_help_with_an_example(name: str) -> None:
    help_text = inspect.cleandoc(ALL[name].help or "")
    assert help_text.splitlines()[0].endswith("."), "the first line is a sentence"
    if name == "imgvec":
        assert "imgvec migrate" in help_text
        return
    assert "\b\nExample:\n" in help_text
    example = help_text.split("Example:\n")[1]
    own_name = name.split(" ")[1] if isinstance(ALL[name], click.Group) else name.removeprefix("imgvec ")
    assert f"imgvec {own_name}" in example


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_explained(name: str) -> None:
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            explained = bool(parameter.help) or parameter.name == "limit"
            assert explained, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listed_line_is_the_commands_own(name: str) -> None:
    assert COMMANDS[name][1] == (ALL[f"imgvec {name}"].help or "").splitlines()[0]


def test_help_imports_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    codes, packages = imported_by(["--help"])
    assert codes == {0}
    assert packages.isdisjoint(HEAVY)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "imgvec_pg", "--help"], capture_output=True, check=True)
    with capsys.disabled():
        print(f"\nimgvec --help took {time.monotonic() - began:.2f} s")


def test_no_commands_help_imports_a_model() -> None:
    codes, packages = imported_by(*([name, "--help"] for name in COMMANDS))
    assert codes == {0}
    assert packages.isdisjoint(MODELS)


def test_a_command_that_meets_no_server_has_loaded_no_model() -> None:
    commands = (
        ["status"],
        ["backfill"],
        ["worker"],
        ["search", "red"],
        ["collection", "list"],
        ["retry"],
        ["doctor"],
    )
    codes, packages = imported_by(*([*command, "--dsn", "host=/nonexistent"] for command in commands))
    assert codes == {3}
    assert packages.isdisjoint(MODELS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["colection"], "there is no command 'colection'; did you mean 'collection'?; see imgvec --help"),
        (["xyzzy"], "there is no command 'xyzzy'; see imgvec --help"),
        (["--nope"], "No such option '--nope'; see imgvec --help"),
        (["add"], "Missing argument 'PATH...'; see imgvec add --help"),
        (["collection", "nope"], "No such command 'nope'; see imgvec collection --help"),
        (["collection", "create"], "Missing argument 'NAME'; see imgvec collection create --help"),
        (
            ["search", "-k", "x"],
            "Invalid value for '-k': 'x' is not a valid integer; see imgvec search --help",
        ),
    ],
)
def test_wrong_arguments_are_one_line_and_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"imgvec: {expected}\n")


def failing(error: BaseException) -> click.Command:
    @click.command()
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("two\nlines"), 1, "unexpected ValueError: two lines (IMGVEC_DEBUG=1 shows where)"),
        (KeyboardInterrupt(), 130, "stopped"),
        (click.Abort(), 130, "stopped"),
        (
            psycopg.OperationalError("consuming input failed: server closed\nthe connection"),
            3,
            "the connection to PostgreSQL was lost (consuming input failed: server closed the connection); "
            "run the same command again",
        ),
        (psycopg.errors.AdminShutdown("terminating connection"), 3, "terminating connection"),
    ],
)
def test_unforeseen_errors_are_one_line(
    error: BaseException,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("IMGVEC_DEBUG", raising=False)
    assert run(failing(error), []) == code
    # click goes to a new line after ^C.
    captured = capsys.readouterr().err.lstrip("\n")
    assert said in captured
    assert captured.startswith("imgvec: ") and captured.count("\n") == 1


def test_debug_shows_where_and_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMGVEC_DEBUG", "1")
    assert run(failing(ValueError("postgresql://ann:hunter2@h/shop")), []) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and "test_main.py" in said and "ann:***@h/shop" in said
    assert "hunter2" not in said
