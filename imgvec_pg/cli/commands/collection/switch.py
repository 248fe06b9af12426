"""`imgvec collection switch`: another model under the same name, without downtime; `alias` and `unalias` beside it."""

import dataclasses

import click

from imgvec_pg.backfill.worker import effective_root
from imgvec_pg.cli.backfill.background_worker import BackgroundFill
from imgvec_pg.cli.commands.collection.switch_options import SwitchOptions, switch_options
from imgvec_pg.cli.commands.collection.switch_report import print_report
from imgvec_pg.cli.commands.collection.switch_target import (
    Successor,
    choose_successor,
    follow_radius_index,
    make_successor,
    print_plan,
)
from imgvec_pg.cli.options import dsn_option, echo_json
from imgvec_pg.cli.output.tables import confirm
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import CollectionError
from imgvec_pg.search.display_columns import label_rows
from imgvec_pg.search.query_client import vector_of_words
from imgvec_pg.search.query_embedding import embed_words
from imgvec_pg.search.recall.compare_models import Agreement, compare_collections
from imgvec_pg.store.aliases import Alias, create_alias, drop_alias, get_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.switch import switch_alias


@click.command("alias")
@click.argument("name")
@click.argument("collection")
@dsn_option
def alias_(name: str, collection: str, dsn: str) -> None:
    """Give COLLECTION a second NAME, which can be switched to another model later.

    It gets functions of its own, near_NAME and the others. Let applications call those: a switch keeps them.

    \b
    Example:
      imgvec collection alias product product_clip
    """
    with connect(dsn, application_name="imgvec collection") as connection:
        require_schema(connection)
        target = create_alias(connection, name, collection)
    click.echo(
        f"alias {name} points to {target.name}; search it with imgvec.near_{name}, imgvec.search_{name} …"
    )


@click.command()
@click.argument("name")
@dsn_option
def unalias(name: str, dsn: str) -> None:
    """Take an alias and its functions away; the collection stays as it is.

    \b
    Example:
      imgvec collection unalias product
    """
    with connect(dsn, application_name="imgvec collection") as connection:
        require_schema(connection)
        found = get_alias(connection, name)
        drop_alias(connection, found)
    click.echo(f"dropped alias {name}; collection {found.collection_name} stays")


@click.command()
@click.argument("name")
@dsn_option
@switch_options
@click.pass_context
def switch(context: click.Context, name: str, dsn: str, options: SwitchOptions) -> None:
    """Change the model behind the alias NAME, or the bands that it sees, without downtime.

    A second collection is made over the same source and filled beside the first, which goes on answering; new rows go
    to both. Then a report compares them, and the switch is one transaction: near_NAME and the others keep their names,
    prepared statements plan anew, queries that run go on with the old collection. Stop it at any moment and run the same
    command again. --back undoes a switch. The old collection stays until you drop it.

    Vectors that an application keeps itself are of the old model: after the switch they are refused for their
    dimensions, or mean nothing. Calls by words (near_NAME_text) and by rows (near_NAME_row) need no change.

    \b
    Example:
      imgvec collection switch product --to ViT-SO400M-14-SigLIP-384/webli
      imgvec collection switch scenes --bands 8,4,3
      imgvec collection switch product --back
    """
    with connect(dsn, application_name="imgvec switch") as connection:
        require_schema(connection)
        alias = get_alias(connection, name)
        present = get_collection(connection, alias.collection_name)
        plan = _plan(connection, alias, present, options)
        if options.dry_run:
            print_plan(connection, alias, present, plan, options.weights)
            return
        # Before anything is made: a model that cannot be loaded changes nothing.
        embedder = load_model(present, plan, options)
        target = make_successor(connection, plan, options.lock_timeout_ms)
        with BackgroundFill(dsn, target, embedder, options.pipeline(embedder)) as filling:
            stopped = filling.fill(connection)
            if stopped is not None:
                click.echo(
                    f"stopped; {name} still points to {present.name}; run the same command to go on", err=True
                )
                context.exit(stopped)
            report = compare(connection, present, target, embedder, options)
            filling.check()
            if not options.as_json:
                keys = [key for example in report.examples for key in example.keys]
                print_report(name, report, label_rows(connection, present, keys))
            if present.has_text and not target.has_text:
                click.echo(
                    f"  {target.model_name} has no text tower: near_{name}_text and searches by words will raise",
                    err=True,
                )
            if not options.report_only:
                if not options.yes:
                    confirm(f"Switch {name} from {present.name} to {target.name}?")
                missing = options.accept_missing
                if not options.back:
                    target = follow_radius_index(connection, present, target)
                switch_alias(connection, alias, present, target, accept_missing=missing, check=filling.check)
    tell(name, present, target, report, switched=not options.report_only, as_json=options.as_json)


def _plan(connection: Connection, alias: Alias, present: Collection, options: SwitchOptions) -> Successor:
    """Find what the options ask to switch to; changes nothing."""
    if options.back:
        return previous(connection, alias)
    to = options.target(present.model_name)
    return choose_successor(connection, present, to, alias.name, options.collection_name, bands=options.bands)


def load_model(present: Collection, plan: Successor, options: SwitchOptions) -> Embedder | None:
    """Load the model that fills the new collection here; None where workers elsewhere do, or nothing is to be filled.

    Raises:
        CollectionError: The folder of the pictures is not on this machine.
        ModelError: The model cannot be loaded.
    """
    if options.back or options.no_fill:
        return None
    effective_root(present, options.root)
    return load_embedder(
        plan.model_name, weights=options.weights, device=options.device, precision=options.precision
    )


def compare(
    connection: Connection,
    present: Collection,
    target: Collection,
    embedder: Embedder | None,
    options: SwitchOptions,
) -> Agreement:
    """Run the same queries on both collections.

    Args:
        embedder: The model of `target`, where it is loaded here; else a worker of it embeds the words.
    """

    def embed(collection: Collection, text: str) -> object:
        if embedder is not None and collection is target:
            return embed_words(connection, target, embedder, text)
        return vector_of_words(connection, collection, text)

    return compare_collections(
        connection, present, target, sample=options.sample, words=options.words, embed=embed
    )


def previous(connection: Connection, alias: Alias) -> Successor:
    """Return what the alias pointed to before.

    Raises:
        CollectionError: Nothing, or it was dropped.
    """
    if alias.previous_name is None:
        raise CollectionError(
            f"{alias.name} was not switched yet, or what it pointed to before was dropped; it points to {alias.collection_name}"
        )
    before = get_collection(connection, alias.previous_name)
    return Successor(before.model_name, existing=before)


def tell(
    name: str, present: Collection, target: Collection, report: Agreement, *, switched: bool, as_json: bool
) -> None:
    """Say what was done and what to do next."""
    if as_json:
        echo_json(
            {
                "alias": name,
                "from": present.name,
                "to": target.name,
                "switched": switched,
                "report": dataclasses.asdict(report),
            }
        )
        return
    if not switched:
        click.echo(f"{name} still points to {present.name}; to switch, run it again without --report")
        return
    click.echo(f"{name} points to {target.name} now; back with: imgvec collection switch {name} --back")
    click.echo(
        f"next: imgvec worker --collections {present.name},{target.name} keeps both in step; once nobody will go back: "
        f"imgvec collection drop {present.name}"
    )
