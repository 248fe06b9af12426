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
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.images.fetching.archives.archive_paths import is_archive
from imgvec_pg.images.fetching.folders import walk_files
from imgvec_pg.images.fetching.found_files import SYSTEM_NAMES
from imgvec_pg.store.library.image_library import Added, add_files
from imgvec_pg.store.library.library_upkeep import GoneRows, find_gone, forget_images
from imgvec_pg.store.registry import find_collections
from imgvec_pg.text import counted

SHOWN_FAILURES = 5


def check_globs(
    context: click.Context, parameter: click.Parameter, globs: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse patterns that can match nothing."""
    for glob in globs:
        if not glob.strip("/"):
            raise click.BadParameter(f'"{glob}" matches nothing; expected one such as "*.psd" or "private"')
        if glob.startswith("/"):
            raise click.BadParameter(
                f'"{glob}" begins at the root; expected a name, or a path below a folder that is added'
            )
    return globs


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@click.option(
    "--exclude",
    multiple=True,
    callback=check_globs,
    metavar="GLOB",
    help="Leave out files and folders of this name, such as '*.psd', or with a slash of this path below PATH, such as "
    "'2019/private'; may be repeated.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Also forget pictures below PATH whose files were deleted. One whose folder is gone or empty is kept: its disk "
    "may not be mounted.",
)
@dsn_option
@json_option
def add(paths: tuple[Path, ...], exclude: tuple[str, ...], prune: bool, dsn: str, as_json: bool) -> None:
    """Add picture files, folders and tars to the built-in library.

    The pictures stay where they are: imgvec.image holds their paths, sizes, hashes and the time they were taken. Run it
    again whenever files came, changed or moved: known ones are not read again, and a moved one keeps its row and its
    embeddings. Exit code 4 says that some files were not added.

    Folders are walked to the bottom. Left out are symbolic links, hidden files and folders (.thumbnails, .DS_Store), and
    those that systems put there: @eaDir, #recycle, #snapshot, $RECYCLE.BIN, System Volume Information, lost+found,
    __MACOSX, Thumbs, Thumbs.db, desktop.ini. What you name yourself is taken all the same.

    An uncompressed tar counts as a folder, named or met in one: its pictures are listed as 00000.tar/000000012.jpg and read
    where they lie. Its other members are not looked at.

    \b
    Example:
      imgvec add ~/Pictures
      imgvec add /data/laion/00000.tar
      imgvec add ~/Pictures --prune --exclude 'screenshots' --exclude '*.gif'
      imgvec collection create image --library --model ViT-B-32/laion2b_s34b_b79k
    """
    with connect(dsn, application_name="imgvec add") as connection:
        require_schema(connection)
        seen: set[int] = set()
        # A single tar is one of thousands that `xargs` may name, and finding its rows is a scan of the library.
        folders = [path.resolve() for path in paths if path.is_dir() or (prune and is_archive(path.name))]
        try:
            with count_progress(stderr_console(), "looking at files") as progress:
                result = add_files(
                    connection, walk_files(paths, exclude), lambda done: progress(done.looked_at), seen
                )
            gone = find_gone(connection, folders, seen)
            removed = forget_images(connection, gone.deleted) if prune and not gone.absent else 0
        except psycopg.errors.InsufficientPrivilege as error:
            role = sql.Identifier(connection.info.user).as_string(connection)
            rights = "SELECT, INSERT, UPDATE" + (", DELETE" if prune else "")
            raise DatabaseError(
                f"the role {connection.info.user} may not add to the library; as its owner run: "
                f"GRANT {rights} ON imgvec.image TO {role}"
            ) from error
        next_step = suggest_next(connection)
    if as_json:
        left = {"removed": removed, "gone": len(gone.deleted) - removed, "away": len(gone.away)}
        echo_json(
            {**dataclasses.asdict(result), **left, "away_folders": gone.away_folders, "next": next_step}
        )
    else:
        report(result)
        report_gone(gone, removed)
        click.echo(next_step)
    if prune and gone.absent:
        raise CollectionError(why_nothing_was_removed(gone))
    if result.failed:
        raise SomeRowsFailed


def report(result: Added) -> None:
    """Say what became of the files: counts on stdout, failures on stderr."""
    left_out = [
        text
        for count, text in (
            (result.not_images, counted(result.not_images, "other file")),
            (result.symbolic_links, counted(result.symbolic_links, "symbolic link")),
            (result.hidden, f"{result.hidden:,} hidden"),
            (result.system, f"{result.system:,} of the system such as {SYSTEM_NAMES[0]}"),
            (result.excluded, f"{result.excluded:,} by --exclude"),
        )
        if count
    ]
    moved = f"{result.moved:,} moved, " if result.moved else ""
    click.echo(
        f"{counted(result.added, 'picture')} added, {result.updated:,} updated, {moved}{result.known:,} known already"
        + (f" (left out: {', '.join(left_out)})" if left_out else "")
    )
    for failure in result.failed[:SHOWN_FAILURES]:
        path = failure.path if failure.path.isprintable() else repr(failure.path)
        click.echo(f"not added: {path}: {failure.message}", err=True)
    if len(result.failed) > SHOWN_FAILURES:
        more = counted(len(result.failed) - SHOWN_FAILURES, "more file")
        click.echo(f"not added: {more}; --json lists them all", err=True)


def report_gone(gone: GoneRows, removed: int) -> None:
    """Say which pictures have no file any more and what becomes of them."""
    if removed:
        click.echo(f"{counted(removed, 'picture')} forgotten, whose files were deleted")
    elif gone.deleted and not gone.absent:
        click.echo(f"{counted(len(gone.deleted), 'known file')} deleted meanwhile; --prune forgets them")
    if gone.away and not gone.absent:
        folders = gone.away_folders
        more = f" and {len(folders) - 1:,} more" if len(folders) > 1 else ""
        click.echo(
            f"{counted(len(gone.away), 'known file')} kept, whose folder is gone or empty and may not be mounted "
            f"({folders[0]}{more}); to forget them: imgvec library forget FOLDER"
        )


def why_nothing_was_removed(gone: GoneRows) -> str:
    """Return why --prune did not begin."""
    folder, count = next(iter(gone.absent.items()))
    what = "the picture" if count == 1 else f"none of the {count:,} pictures"
    return (
        f"{what} that the library knows below {folder} is {'not ' if count == 1 else ''}there, so it may not be mounted; "
        f"nothing was forgotten. If they were deleted: imgvec library forget {folder}"
    )


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
