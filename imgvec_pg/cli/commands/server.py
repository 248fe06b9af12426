"""`imgvec server`: the private PostgreSQL of the extra [embedded]."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from imgvec_pg.database.local_server.binaries import find_binaries
from imgvec_pg.database.local_server.data_dir import default_directory
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.errors import ConnectionFailedError

Command = Callable[..., None]


def forget_service() -> None:
    """Drop PGSERVICE from this process: libpq would mix its settings into those of the private server."""
    os.environ.pop("PGSERVICE", None)


def directory_option(command: Command) -> Command:
    """Add --directory, the home of the server."""
    return click.option(
        "--directory",
        type=click.Path(file_okay=False, path_type=Path),
        help="Home of the server  [default: server in IMGVEC_HOME or ~/.local/share/imgvec; "
        "for root /var/lib/imgvec/server where that is closed to other users]",
    )(command)


def parse_settings(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Turn `name=value` words into a mapping."""
    settings = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{text!r} is not of the form name=value, such as work_mem=64MB")
        settings[name.strip()] = value
    return settings


@click.group()
def server() -> None:
    """Run a private PostgreSQL with pgvector, needing no installation.

    It listens on a Unix socket only and outlives the command that started it.

    \b
    Example:
      eval "$(imgvec server start)"
      imgvec doctor
    """
    forget_service()


@server.command()
@directory_option
@click.option(
    "-c",
    "--set",
    "settings",
    multiple=True,
    callback=parse_settings,
    metavar="NAME=VALUE",
    help="A PostgreSQL setting for this run; may be repeated.",
)
def start(directory: Path | None, settings: dict[str, str]) -> None:
    """Start the server, setting it up the first time, and print how to connect.

    \b
    Example:
      eval "$(imgvec server start -c shared_buffers=1GB)"
      psql
    """
    local = LocalServer(directory or default_directory(), settings=settings)
    if local.start():
        click.echo(f"PostgreSQL runs in {local.directory} (pid {local.status().pid})", err=True)
    else:
        click.echo(f"PostgreSQL was running in {local.directory} (pid {local.status().pid})", err=True)
        if settings:
            click.echo(
                "a running server keeps its settings: imgvec server stop, then start it with -c", err=True
            )
    click.echo(f"export {shlex.join(f'{name}={value}' for name, value in _environment(local).items())}")


@server.command()
@directory_option
def stop(directory: Path | None) -> None:
    """Stop the server; open sessions are ended, the data stays.

    \b
    Example:
      imgvec server stop
    """
    local = LocalServer(directory or default_directory())
    stopped = local.stop()
    click.echo(f"{'stopped' if stopped else 'was not running'}: {local.directory}")


@server.command()
@directory_option
def status(directory: Path | None) -> None:
    """Say whether the server runs; exit code 3 when it does not.

    \b
    Example:
      imgvec server status || imgvec server start
    """
    local = LocalServer(directory or default_directory())
    found = local.status()
    if not found.running:
        state = "is starting" if found.pid else "does not run"
        raise ConnectionFailedError(f"the server in {local.directory} {state}: imgvec server start")
    click.echo(f"running: pid {found.pid} in {local.directory}")
    click.echo(f"export {shlex.join(f'{name}={value}' for name, value in _environment(local).items())}")


@server.command(context_settings={"ignore_unknown_options": True})
@directory_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(directory: Path | None, arguments: tuple[str, ...]) -> None:
    """Open psql on the server; ARGUMENTS go to psql.

    \b
    Example:
      imgvec server psql -c 'SELECT version()'
    """
    local = LocalServer(directory or default_directory())
    if not local.status().running:
        raise ConnectionFailedError(f"the server in {local.directory} does not run: imgvec server start")
    program = str(find_binaries().program("psql"))
    # These two would win over PGHOST.
    kept = {name: value for name, value in os.environ.items() if name not in ("PGHOSTADDR", "PGSERVICE")}
    # The database that the user's session works in stays the one asked for.
    database = {"PGDATABASE": os.environ["PGDATABASE"]} if os.environ.get("PGDATABASE") else {}
    os.execve(program, [program, *arguments], {**kept, **_environment(local), **database})  # noqa: S606


def _environment(local: LocalServer) -> dict[str, str]:
    return {
        "PGHOST": str(local.socket_directory),
        "PGPORT": str(local.port),
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
    }
