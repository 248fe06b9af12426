"""`manage.py imgvec …`: the command imgvec on Django's own connection."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections

from imgvec_pg.database.connect import connect
from imgvec_pg.database.framework_cli import FILLING, become_imgvec, environment_for, run_imgvec
from imgvec_pg.django.collection_ops import has_schema
from imgvec_pg.django.connection_dsn import COMMAND, command_errors, dsn_of
from imgvec_pg.django.image_search import all_searches
from imgvec_pg.django.storages import FETCH
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import find_collections

DONE_BY_DJANGO = ("--settings", "--pythonpath")
"""Options of manage.py itself, which have had their effect."""


class Command(BaseCommand):
    """Hands its arguments on, with DATABASES as the connection and Django's storages to read pictures from."""

    help = "Fill, watch and search collections: the command imgvec on Django's own connection."

    def run_from_argv(self, argv: list[str]) -> None:
        """Take the arguments as they stand: they are click's, not argparse's."""
        alias, arguments = split_database(argv[2:])
        try:
            environment = self.prepare(alias, arguments)
        except CommandError as error:
            self.stderr.write(f"imgvec: {error}")
            sys.exit(error.returncode)
        become_imgvec(arguments, environment)

    def add_arguments(self, parser: CommandParser) -> None:
        """For call_command("imgvec", "backfill", "--no-index")."""
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS)
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's own signature
        """Run beside this process; what it prints goes where call_command's stdout and stderr point.

        Raises:
            CommandError: It ended with another code than 0, which is the error's returncode.
        """
        alias, arguments = split_database([*args, *options["arguments"]], options["database"])
        environment = self.prepare(alias, arguments)
        if arguments and arguments[0] in FILLING and connections[alias].in_atomic_block:
            self.stderr.write(
                f'imgvec: this process is in a transaction on database "{alias}", as in a TestCase: rows that it has not '
                "committed are seen by no other connection, and are not embedded. In tests take a TransactionTestCase, or "
                "imgvec_pg.django.testing.embed_now(Model)"
            )
        captures = options.get("stdout") is not None or options.get("stderr") is not None
        done = run_imgvec(arguments, environment, captures=captures)
        if captures:
            self.stdout.write(done.stdout, ending="")
            self.stderr.write(done.stderr, ending="")
        if done.returncode:
            raise CommandError(
                f"imgvec {' '.join(arguments[:1])} ended with exit code {done.returncode}",
                returncode=done.returncode,
            )

    def prepare(self, alias: str, arguments: Sequence[str]) -> dict[str, str]:
        """File what waits to be enqueued, and return the environment of the command.

        Raises:
            CommandError: The database is no PostgreSQL, or cannot be reached.
        """
        own: list[str] = []
        with command_errors():
            dsn = dsn_of(alias)
            if arguments and arguments[0] in FILLING and "--help" not in arguments:
                own = list_sources(dsn)
        return environment_for(dsn, COMMAND, own, {"IMGVEC_FETCH": FETCH})


def split_database(arguments: Sequence[str], alias: str = DEFAULT_DB_ALIAS) -> tuple[str, list[str]]:
    """Take --database ALIAS off the arguments, and what manage.py has heeded itself."""
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--database":
            alias = value if equals else next(words, alias)
        elif name in DONE_BY_DJANGO:
            if not equals:
                next(words, None)
        else:
            rest.append(word)
    return alias, rest


def list_sources(dsn: str) -> list[str]:
    """Enqueue the rows that were there before their collection, and return the project's collections of this database.

    A migration makes a collection without holding its table for that.
    """
    names = {search.collection for search in all_searches()}
    with connect(dsn, application_name="imgvec list") as connection:
        if not has_schema(connection):
            return []
        own = [c for c in find_collections(connection) if c.name in names and c.source_name is not None]
        for collection in own:
            if not collection.is_listed:
                list_source(connection, collection)
    return [collection.name for collection in own]
