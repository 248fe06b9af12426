"""`manage.py imgvec …`: the command imgvec on Django's own connection."""

import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DEFAULT_DB_ALIAS

from imgvec_pg.database.connect import connect
from imgvec_pg.database.framework_cli import become_imgvec, environment_for, run_imgvec
from imgvec_pg.django.collection_ops import has_schema
from imgvec_pg.django.connection_dsn import command_errors, dsn_of
from imgvec_pg.django.image_search import all_searches
from imgvec_pg.django.storages import FETCH
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import find_collections

FILLING = ("worker", "backfill")


class Command(BaseCommand):
    """Hands its arguments on, with DATABASES as the connection and Django's storages to read pictures from."""

    help = "Fill, watch and search collections: the command imgvec on Django's own connection."

    def run_from_argv(self, argv: list[str]) -> None:
        """Take the arguments as they stand: they are click's, not argparse's."""
        alias, arguments = split_database(argv[2:])
        environment = self.prepare(alias, arguments)
        become_imgvec(arguments, environment)

    def add_arguments(self, parser: CommandParser) -> None:
        """For call_command("imgvec", "status")."""
        parser.add_argument("arguments", nargs="*")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's own signature
        """Run, and leave with the command's exit code where that is not 0."""
        arguments = [*args, *options["arguments"]]
        code = run_imgvec(arguments, self.prepare(options["database"], arguments))
        if code:
            sys.exit(code)

    def prepare(self, alias: str, arguments: Sequence[str]) -> dict[str, str]:
        """File what waits to be enqueued, and return the environment of the command."""
        with command_errors():
            dsn = dsn_of(alias)
            if arguments and arguments[0] in FILLING and "--help" not in arguments:
                list_sources(dsn)
        return environment_for(dsn, {"IMGVEC_FETCH": FETCH})


def split_database(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Take --database ALIAS off the arguments."""
    alias, rest = DEFAULT_DB_ALIAS, []
    words = iter(arguments)
    for word in words:
        if word == "--database":
            alias = next(words, DEFAULT_DB_ALIAS)
        elif word.startswith("--database="):
            alias = word.partition("=")[2]
        else:
            rest.append(word)
    return alias, rest


def list_sources(dsn: str) -> None:
    """File the rows that were there before their collection: a migration makes it without holding the table for that."""
    names = {search.collection for search in all_searches()}
    with connect(dsn, application_name="imgvec list") as connection:
        if not has_schema(connection):
            return
        for collection in find_collections(connection):
            if collection.name in names and collection.source_name is not None and not collection.is_listed:
                list_source(connection, collection)
