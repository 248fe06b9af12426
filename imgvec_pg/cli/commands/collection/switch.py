"""`imgvec collection switch`: another model under the same name, without downtime; `alias` and `unalias` beside it."""

import dataclasses
from pathlib import Path

import click

from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.quiet_hours import Hours
from imgvec_pg.backfill.worker import effective_root
from imgvec_pg.cli.backfill.background_worker import BackgroundFill
from imgvec_pg.cli.commands.collection.switch_report import print_report
from imgvec_pg.cli.commands.collection.switch_target import (
    Successor,
    choose_successor,
    make_successor,
    print_plan,
)
from imgvec_pg.cli.options import (
    dsn_option,
    echo_json,
    json_option,
    lock_timeout_option,
    model_options,
    pipeline_options,
    throttle_options,
)
from imgvec_pg.cli.output.tables import confirm
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.search.query_client import vector_of_words
from imgvec_pg.search.query_embedding import embed_words
from imgvec_pg.search.recall.compare_models import Agreement, compare_collections
from imgvec_pg.settings import lease_seconds
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
@click.option(
    "--to",
    "to",
    metavar="MODEL",
    help="Model to switch to, or a collection of the same source that is there.",
)
@click.option("--back", is_flag=True, help="Switch back to what the alias pointed to before.")
@click.option("--name", "collection_name", metavar="COLLECTION", help="What to call the new collection.")
@click.option(
    "--no-fill", is_flag=True, help="Embed nothing here: workers elsewhere fill the new collection."
)
@click.option("--report", "report_only", is_flag=True, help="Fill and compare; do not switch.")
@click.option(
    "--sample", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Rows to compare by."
)
@click.option(
    "--words",
    multiple=True,
    metavar="TEXT",
    help="Words to compare by, too; can be given again. Where no worker of a model runs, it is loaded for them.",
)
@click.option(
    "--accept-missing",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="ROWS",
    help="Switch although so many rows have no vector in the new collection.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what it would take.")
@pipeline_options
@throttle_options
@model_options
@lock_timeout_option
@json_option
@click.pass_context
def switch(
    context: click.Context,
    name: str,
    dsn: str,
    to: str | None,
    back: bool,
    collection_name: str | None,
    no_fill: bool,
    report_only: bool,
    sample: int,
    words: tuple[str, ...],
    accept_missing: int,
    yes: bool,
    dry_run: bool,
    batch_size: int,
    decode_threads: int,
    root: Path | None,
    rate: float | None,
    max_replica_lag_seconds: float | None,
    pause_when: tuple[Hours, ...],
    weights: Path | None,
    device: str,
    precision: str,
    lock_timeout_ms: int,
    as_json: bool,
) -> None:
    """Change the model behind the alias NAME without downtime.

    A second collection is made over the same source and filled beside the first, which goes on answering; new rows go
    to both. Then a report compares them, and the switch is one transaction: near_NAME and the others keep their names,
    prepared statements plan anew, queries that run go on with the old collection. Stop it at any moment and run the same
    command again. --back undoes a switch. The old collection stays until you drop it.

    Vectors that an application keeps itself are of the old model: after the switch they are refused for their
    dimensions, or mean nothing. Calls by words (near_NAME_text) and by rows (near_NAME_row) need no change.

    \b
    Example:
      imgvec collection switch product --to ViT-SO400M-14-SigLIP-384/webli
      imgvec collection switch product --back
    """
    if back == (to is not None):
        raise UsageError("say what to switch to, --to MODEL, or --back to what it was before")
    with connect(dsn, application_name="imgvec switch") as connection:
        require_schema(connection)
        alias = get_alias(connection, name)
        present = get_collection(connection, alias.collection_name)
        plan = (
            previous(connection, alias)
            if to is None
            else choose_successor(connection, present, to, name, collection_name)
        )
        if dry_run:
            print_plan(connection, alias, present, plan, weights)
            return
        embedder: Embedder | None = None
        if to is not None and not no_fill:
            # Before anything is made: a model that cannot be loaded changes nothing.
            effective_root(present, root)
            embedder = load_embedder(plan.model_name, weights=weights, device=device, precision=precision)
        target = make_successor(connection, plan, lock_timeout_ms)
        options = PipelineOptions(
            batch_size=batch_size if embedder is None else choose_batch_size(batch_size, embedder),
            decode_threads=decode_threads,
            follow=True,
            root=root,
            lease_seconds=lease_seconds(),
            allowance=Allowance(
                rate=rate, max_replica_lag_seconds=max_replica_lag_seconds, pause_when=pause_when
            ),
        )
        with BackgroundFill(dsn, target, embedder, options) as filling:
            stopped = filling.fill(connection)
            if stopped is not None:
                click.echo(
                    f"stopped; {name} still points to {present.name}; run the same command to go on", err=True
                )
                context.exit(stopped)

            def embed(collection: Collection, text: str) -> object:
                if embedder is not None and collection is target:
                    return embed_words(connection, target, embedder, text)
                return vector_of_words(connection, collection, text)

            report = compare_collections(connection, present, target, sample=sample, words=words, embed=embed)
            filling.check()
            if not as_json:
                print_report(name, report)
            if present.has_text and not target.has_text:
                click.echo(
                    f"  {target.model_name} has no text tower: near_{name}_text and searches by words will raise",
                    err=True,
                )
            if not report_only:
                if not yes:
                    confirm(f"Switch {name} from {present.name} to {target.name}?")
                switch_alias(
                    connection, alias, present, target, accept_missing=accept_missing, check=filling.check
                )
    tell(name, present, target, report, switched=not report_only, as_json=as_json)


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
