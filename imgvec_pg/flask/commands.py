"""`flask imgvec …`: the command imgvec on the application's own database."""

from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import with_appcontext

from imgvec_pg.database.connect import connect
from imgvec_pg.database.framework_cli import FILLING, become_imgvec, environment_for
from imgvec_pg.errors import ImgvecError
from imgvec_pg.flask.error_hints import COMMAND
from imgvec_pg.store.mixin import CLASSES
from imgvec_pg.store.registry import find_collections

if TYPE_CHECKING:
    from imgvec_pg.flask.extension import ImgVec


@click.command(
    "imgvec",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
    short_help="Fill, watch and search collections: the command imgvec on this application's database.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def imgvec_command(arguments: tuple[str, ...]) -> None:
    """Hand the arguments on."""
    extension: ImgVec = current_app.extensions["imgvec"]
    own: list[str] = []
    try:
        dsn = extension.dsn
        if arguments and arguments[0] in FILLING and "--help" not in arguments:
            own = own_collections(extension, dsn)
    except ImgvecError as error:
        raise click.ClickException(str(error)) from error
    become_imgvec(arguments, environment_for(dsn, COMMAND, own))


def own_collections(extension: "ImgVec", dsn: str) -> list[str]:
    """Return the collections that the application declares and its database has."""
    declared = {
        name
        for metadata in extension.db.metadatas.values()
        for table in metadata.tables.values()
        for name in CLASSES.get(table, {})
    }
    with connect(dsn, application_name="flask imgvec") as connection:
        row = connection.execute("SELECT to_regclass('imgvec.collection') IS NOT NULL").fetchone()
        found = find_collections(connection) if row is not None and row[0] else []
    return [c.name for c in found if c.name in declared and c.source_name is not None]
