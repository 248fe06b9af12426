"""`imgvec add`: add image files to the built-in library."""

import dataclasses
from pathlib import Path

import click
import psycopg
from psycopg import sql

from imgvec_pg.cli.exit_codes import SomeRowsFailed
from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.progress import count_progress, stderr_console
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.errors import DatabaseError
from imgvec_pg.images.fetching.folders import walk_files
from imgvec_pg.store.image_library import Added, add_files
from imgvec_pg.store.registry import find_collections
from imgvec_pg.text import counted

SHOWN_FAILURES = 5


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@dsn_option
@json_option
def add(paths: tuple[Path, ...], dsn: str, as_json: bool) -> None:
    """Add picture files and folders to the built-in library.

    Folders are walked to the bottom; hidden files and symbolic links in them are left out. The pictures stay where they
    are: imgvec.image holds their paths, sizes, hashes and the time they were taken. Run it again whenever files came or
    changed: known ones are not read again. Exit code 4 says that some files were not added.

    \b
    Example:
      imgvec add ~/Pictures
      imgvec collection create image --library --model ViT-B-32/laion2b_s34b_b79k
    """
    with connect(dsn, application_name="imgvec add") as connection:
        require_schema(connection)
        try:
            with count_progress(stderr_console(), "looking at files") as progress:
                result = add_files(connection, walk_files(paths), lambda done: progress(done.looked_at))
        except psycopg.errors.InsufficientPrivilege as error:
            role = sql.Identifier(connection.info.user).as_string(connection)
            raise DatabaseError(
                f"the role {connection.info.user} may not add to the library; as its owner run: "
                f"GRANT SELECT, INSERT, UPDATE ON imgvec.image TO {role}"
            ) from error
        next_step = suggest_next(connection)
    if as_json:
        echo_json({**dataclasses.asdict(result), "next": next_step})
    else:
        report(result)
        click.echo(next_step)
    if result.failed:
        raise SomeRowsFailed


def report(result: Added) -> None:
    """Say what became of the files: counts on stdout, failures on stderr."""
    left_out = [
        counted(count, noun)
        for count, noun in ((result.not_images, "other file"), (result.symbolic_links, "symbolic link"))
        if count
    ]
    click.echo(
        f"{counted(result.added, 'picture')} added, {result.updated:,} updated, {result.known:,} known already"
        + (f" (left out: {', '.join(left_out)})" if left_out else "")
    )
    for failure in result.failed[:SHOWN_FAILURES]:
        path = failure.path if failure.path.isprintable() else repr(failure.path)
        click.echo(f"not added: {path}: {failure.message}", err=True)
    if len(result.failed) > SHOWN_FAILURES:
        more = counted(len(result.failed) - SHOWN_FAILURES, "more file")
        click.echo(f"not added: {more}; --json lists them all", err=True)


def suggest_next(connection: Connection) -> str:
    """Return the command that comes next."""
    library = [
        c.name
        for c in find_collections(connection)
        if (c.source_schema, c.source_name) == ("imgvec", "image")
    ]
    if not library:
        return "make them searchable with: imgvec collection create image --library --model ViT-B-32/laion2b_s34b_b79k"
    return f"embed what is new with: imgvec backfill {library[0]}"
