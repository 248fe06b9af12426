"""`imgvec browse`: a collection's images in a web browser."""

import logging
import os
import socket
from pathlib import Path
from socketserver import BaseServer

import click

from imgvec_pg.cli.options import dsn_option
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.errors import MissingExtraError, UsageError

ADDRESS = "127.0.0.1"


@click.command()
@click.argument("name", required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one."
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where this machine keeps the pictures  [default: the collection's root]",
)
@dsn_option
def browse(name: str | None, port: int, root: Path | None, dsn: str) -> None:
    """Look at a collection's pictures in a web browser, and search them.

    By words, by a picture of yours, or more like one of those shown. NAME may be left out when there is one collection.
    The pages are for this machine alone (127.0.0.1), with the rights of the connection's role; ctrl-C ends them. The address
    that is printed has a token, new at each start, without which other users of the machine see nothing; your browser
    keeps it as a cookie. Needs the extra [web].

    \b
    Example:
      imgvec browse
    """
    try:
        from werkzeug.serving import make_server

        from imgvec_pg.pages.access_token import new_token
        from imgvec_pg.pages.application import pages_app
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"imgvec browse needs {error.name}, which is not installed: pip install 'imgvec-pg[web]'"
        ) from error
    with connect(dsn, application_name="imgvec browse") as connection:
        require_schema(connection)
    token = new_token()
    app = pages_app(dsn, token, name, root, warm_model=True)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        # Werkzeug would explain a port in use in three lines of its own, and exit.
        listening = socket.create_server((ADDRESS, port))
    except OSError as error:
        raise UsageError(
            f"port {port} of {ADDRESS} cannot be used ({os.strerror(error.errno or 0)}); choose another with --port"
        ) from error
    with listening:
        server = make_server(ADDRESS, port, app, threaded=True, fd=listening.fileno())
        click.echo(
            f"http://{ADDRESS}:{listening.getsockname()[1]}/?token={token} shows the pictures; ctrl-C ends it"
        )
        # Not Werkzeug's own, which swallows ctrl-C: a signal shall be told by the exit code.
        BaseServer.serve_forever(server)
