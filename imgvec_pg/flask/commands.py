"""`flask imgvec …`: the command imgvec on the application's own database."""

import click
from flask import current_app
from flask.cli import with_appcontext

from imgvec_pg.database.framework_cli import become_imgvec, environment_for
from imgvec_pg.errors import ImgvecError


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
    try:
        dsn = current_app.extensions["imgvec"].dsn
    except ImgvecError as error:
        raise click.ClickException(str(error)) from error
    become_imgvec(arguments, environment_for(dsn))
