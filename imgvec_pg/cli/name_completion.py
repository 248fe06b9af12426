"""Shell completion: which names fit, answered in a moment or not at all, and never with an error."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

ANSWER_SECONDS = 0.3
"""What a shell may wait for the database beside the start of Python."""

Find = Callable[[click.Context], Sequence[str]]


def find_collections(context: click.Context) -> Sequence[str]:
    """Return the names of collections and aliases."""
    return _ask(context, "queries/collection_names.sql")


def find_aliases(context: click.Context) -> Sequence[str]:
    """Return the names of aliases."""
    return _ask(context, "queries/alias_names.sql")


def find_models(_: click.Context) -> Sequence[str]:
    """Return the names of models that are known without a network."""
    from imgvec_pg.embedding.known_models import CATALOGUE

    return sorted({"demo", *CATALOGUE})


def find_successors(context: click.Context) -> Sequence[str]:
    """Return what an alias can be switched to."""
    return [*find_collections(context), *find_models(context)]


PARAMETERS: dict[str, Find] = {
    "name": find_collections,
    "collection_name": find_collections,
    "collection": find_collections,
    "collections": find_collections,
    "model": find_models,
    "model_name": find_models,
}
"""Arguments and options that mean the same in most commands, by their names in Python."""
EXCEPTIONS: dict[tuple[str, str], Find | None] = {
    # New names.
    ("collection create", "name"): None,
    ("collection alias", "name"): None,
    ("collection switch", "collection_name"): None,
    ("collection switch", "name"): find_aliases,
    ("collection switch", "to"): find_successors,
    ("collection unalias", "name"): find_aliases,
    ("model show", "name"): find_models,
    ("model fetch", "name"): find_models,
    ("model benchmark", "name"): find_models,
}
"""Those that mean something else, by command and parameter."""


class Name(StringParamType):
    """A text of which the shell can be told the names that there are; of "a,b" the last one."""

    def __init__(self, find: Find) -> None:
        self.find = find

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        before, comma, begun = incomplete.rpartition(",")
        try:
            names = self.find(ctx)
        except Exception:  # a shell shows an error in the midst of what is typed
            names = ()
        return [CompletionItem(before + comma + name) for name in names if name.startswith(begun)]


def add_names(command: click.Command, path: str) -> None:
    """Tell a command's parameters, and those of its subcommands, where their names are found.

    Args:
        path: The command's name below imgvec: "backfill", "collection".
    """
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            add_names(subcommand, f"{path} {name}")
    for parameter in command.params:
        name = str(parameter.name)
        find = EXCEPTIONS.get((path, name), PARAMETERS.get(name))
        if (path, name) in EXCEPTIONS and EXCEPTIONS[(path, name)] is None:
            find = None
        if find is not None and isinstance(parameter.type, StringParamType):
            parameter.type = Name(find)


def _ask(context: click.Context, file: str) -> Sequence[str]:
    """Return the first column of a query; nothing where the database does not answer in time."""
    found: list[str] = []

    def ask() -> None:
        try:
            found.extend(_query(context.params.get("dsn"), file))
        except Exception:  # no database, no schema, no right: there is nothing to offer
            found.clear()

    # A connection that nobody accepts cannot be given up: the thread ends with the process.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return () if thread.is_alive() else found


def _query(dsn: Any, file: str) -> list[str]:  # noqa: ANN401 - as click has it
    from imgvec_pg.database.connect import connect
    from imgvec_pg.database.sql_templates import load_sql
    from imgvec_pg.settings import dsn_from_environment

    with connect(dsn or dsn_from_environment(), application_name="imgvec completion") as connection:
        return [str(row[0]) for row in connection.execute(load_sql(file))]
