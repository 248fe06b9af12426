"""`imgvec library`: what the built-in library holds, and forgetting some of it."""

from pathlib import Path

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.tables import confirm
from imgvec_pg.database.connect import connect, needing, require_schema
from imgvec_pg.errors import CollectionError
from imgvec_pg.images.fetching.gone_files import is_gone
from imgvec_pg.store.library.image_library import LibraryRow
from imgvec_pg.store.library.library_upkeep import find_below, forget_images
from imgvec_pg.text import counted


@click.group()
def library() -> None:
    """List and forget pictures of the built-in library.

    \b
    Example:
      imgvec library list --gone
    """


gone_option = click.option(
    "--gone", is_flag=True, help="Only pictures whose files are not on this machine now."
)


@library.command("list")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@gone_option
@dsn_option
@json_option
def list_(paths: tuple[Path, ...], gone: bool, dsn: str, as_json: bool) -> None:
    """List the paths of the library's pictures, a line each; those at and below PATH, or all.

    \b
    Example:
      imgvec library list ~/Pictures/2019
    """
    with connect(dsn, application_name="imgvec library") as connection:
        require_schema(connection)
        found = [row for path in paths or (Path("/"),) for row in find_below(connection, path.resolve())]
    rows = unique(found, gone)
    if as_json:
        echo_json([{"id": row.id, "path": row.uri, "is_gone": is_gone(row.uri)} for row in rows])
        return
    for row in rows:
        click.echo(row.uri if row.uri.isprintable() else repr(row.uri))


@library.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@gone_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@dsn_option
@json_option
def forget(paths: tuple[Path, ...], gone: bool, yes: bool, dsn: str, as_json: bool) -> None:
    """Take pictures out of the library: the file PATH, or all below the folder PATH. No file is touched.

    Their rows and embeddings go; PATH need not exist any more. A picture whose file is there comes back with the next
    imgvec add of its folder, unless --exclude leaves it out.

    \b
    Example:
      imgvec library forget ~/Pictures/2019
      imgvec library forget /mnt/nas --gone --yes
    """
    with connect(dsn, application_name="imgvec library") as connection:
        require_schema(connection)
        found: list[LibraryRow] = []
        for path in paths:
            below = find_below(connection, path.resolve())
            if not below:
                raise CollectionError(
                    f"the library knows no picture at or below {path.resolve()}; nothing was forgotten. "
                    "List what it knows with: imgvec library list"
                )
            found += below
        rows = unique(found, gone)
        if rows and not yes:
            there = sum(not is_gone(row.uri) for row in rows)
            confirm(
                f"Forget {counted(len(rows), 'picture')} with what was embedded of them? "
                f"({counted(there, 'file')} still there, left untouched)"
            )
        with needing(connection, "it takes SELECT and DELETE on imgvec.image"):
            forgotten = forget_images(connection, rows)
    if as_json:
        echo_json({"forgotten": forgotten})
    else:
        click.echo(f"{counted(forgotten, 'picture')} forgotten")


def unique(rows: list[LibraryRow], gone: bool) -> list[LibraryRow]:
    """Return each row once, with `gone` only those without a file."""
    each = {row.id: row for row in rows}
    return [row for row in each.values() if not gone or is_gone(row.uri)]
