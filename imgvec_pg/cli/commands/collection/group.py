"""`imgvec collection`: list, show, drop, reconcile; create is in create.py, switch in switch.py."""

import dataclasses

import click

from imgvec_pg.cli.commands.collection.alter_key import alter_key
from imgvec_pg.cli.commands.collection.create import create
from imgvec_pg.cli.commands.collection.partition_tenants import partition
from imgvec_pg.cli.commands.collection.switch import alias_, switch, unalias
from imgvec_pg.cli.options import dsn_option, echo_json, json_option, lock_timeout_option
from imgvec_pg.cli.output.tables import confirm, echo_table
from imgvec_pg.database.connect import connect, needing, require_schema
from imgvec_pg.images.rendering.version import NEWEST
from imgvec_pg.store.aliases import find_aliases
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.registry import find_collections, get_collection, none_yet
from imgvec_pg.text import counted


@click.group()
def collection() -> None:
    """Make a table's pictures searchable.

    \b
    Example:
      imgvec collection create product_clip --source shop.product --image photo_path \\
          --root /srv/photos --model ViT-L-14/laion2b_s32b_b82k
    """


for command in (create, partition, alter_key, alias_, unalias, switch):
    collection.add_command(command)


@collection.command("list")
@dsn_option
@json_option
def list_(dsn: str, as_json: bool) -> None:
    """List the collections.

    \b
    Example:
      imgvec collection list
    """
    with connect(dsn) as connection:
        require_schema(connection)
        found = find_collections(connection)
        aliases = find_aliases(connection)
        none = None if found else none_yet(connection)
    if as_json:
        by_collection = {item.id: [a.name for a in aliases if a.collection_id == item.id] for item in found}
        echo_json([{**described(item), "aliases": by_collection[item.id]} for item in found])
        return
    if none is not None:
        click.echo(none)
        return
    shown = [[item.name, item.shown_source, item.model_name, item.dimensions] for item in found]
    echo_table(["collection", "source", "model", "dimensions"], shown)
    if aliases:
        click.echo()
        pointing = [[alias.name, alias.collection_name, alias.previous_name] for alias in aliases]
        echo_table(["alias", "points to", "before that"], pointing)


def described(item: Collection) -> dict[str, object]:
    """Return a collection for JSON: the fields of its spec, then what the registry alone knows of it."""
    registered = {
        "id": item.id,
        "ef_search": item.ef_search,
        "is_listed": item.is_listed,
        "rendering": item.rendering,
        "rendering_from": item.rendering_from,
    }
    spec = item.spec()
    return {**dataclasses.asdict(spec), "key": dict(spec.key_types), **registered}


@collection.command()
@click.argument("name")
@dsn_option
@json_option
def show(name: str, dsn: str, as_json: bool) -> None:
    """Show one collection: source, model, tables and index.

    \b
    Example:
      imgvec collection show product_clip
    """
    with connect(dsn) as connection:
        require_schema(connection)
        item = get_collection(connection, name)
        states = index_states(connection, item)
    if as_json:
        echo_json({**described(item), "indexes": [dataclasses.asdict(state) for state in states]})
        return
    image = " and ".join(column for column in (item.path_column, item.content_column) if column)
    click.echo(f"collection   {item.name}")
    click.echo(f"source       {item.shown_source}, key {', '.join(item.key_columns)}, picture in {image}")
    if item.root:
        click.echo(f"root         {item.root}")
    for prefix in item.url_prefixes:
        click.echo(f"url          {prefix}")
    click.echo(f"model        {item.model_name}, {item.dimensions} dimensions")
    newer = "" if item.rendering >= NEWEST else f" ({NEWEST} is the newest: imgvec doctor)"
    older = "" if item.rendering_from is None else f"; rows of {item.rendering_from} are still compared"
    click.echo(f"rendering    {item.rendering}{newer}{older}")
    shown = (
        ", ".join(map(str, item.bands)) or "those that a file names red, green and blue, else its first three"
    )
    click.echo(f"bands        {shown} (of TIFFs with more than colours)")
    if item.prompt != "{}":
        click.echo(f"prompt       {item.prompt}")
    click.echo(
        f"table        imgvec.{item.embedding_table}" + ("" if item.has_foreign_key else " (no foreign key)")
    )
    if item.partition_by is not None:
        by = f"{item.partitions} hashes" if item.partitions else "large tenants: imgvec collection partition"
        click.echo(f"partitions   by {item.partition_by}, {by}")
    ef_search = "the session's own" if item.ef_search is None else item.ef_search
    click.echo(f"ef_search    {ef_search}")
    for state in states:
        kind = (
            "no index yet"
            if state.index_name is None
            else f"{state.index_name}{' of bits' if state.quantization else ''}, {state.index_bytes:,} bytes"
        )
        click.echo(f"index        {kind}" + (" INVALID" if state.index_name and not state.is_valid else ""))
    for call in (
        f"near_{item.name}(halfvec)",
        f"near_{item.name}_row(key)",
        f"near_{item.name}_text(words)",
        f"search_{item.name}(halfvec, k, among)",
    ):
        click.echo(f"function     imgvec.{call}")


@collection.command()
@click.argument("name")
@dsn_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@lock_timeout_option
def drop(name: str, dsn: str, yes: bool, lock_timeout_ms: int) -> None:
    """Drop a collection with its embeddings; the source table stays as it is.

    Dropping triggers takes ACCESS EXCLUSIVE on the source and its partitions for a moment: readers wait too. For each of
    these locks it waits at most --lock-timeout, and those who come meanwhile wait behind it; then it gives up and
    nothing has changed.

    \b
    Example:
      imgvec collection drop product_clip
    """
    with connect(dsn, application_name="imgvec collection") as connection:
        require_schema(connection)
        item = get_collection(connection, name)
        if not yes:
            confirm(f"Drop collection {item.name} and all its embeddings of {item.shown_source}?")
        drop_collection(connection, item, lock_timeout_ms=lock_timeout_ms)
    click.echo(f"dropped collection {item.name}")


@collection.command("reconcile")
@click.argument("name")
@dsn_option
@click.option(
    "--contents",
    is_flag=True,
    help="Also read all pictures that lie in the table itself (bytea) and compare their hashes.",
)
@json_option
@lock_timeout_option
def reconcile_(name: str, dsn: str, contents: bool, as_json: bool, lock_timeout_ms: int) -> None:
    """Find changes that the triggers could not see, and enqueue them.

    For changes by logical replication, session_replication_role = replica, behind views or in attached partitions. It
    files rows that never were, and rows whose path, number of bytes or --watch columns are not those that were embedded
    or failed; it deletes embeddings and failures of rows that are gone or have no picture any more; new partitions get
    their triggers. Can be scheduled.

    Bytes replaced by as many others take --contents, which tries failed rows with bytes again too. A file that changed
    under its old path is never seen: imgvec reads no file for this. Change a --watch column with it.

    \b
    Example:
      imgvec collection reconcile product_clip
    """
    with connect(dsn, application_name="imgvec reconcile") as connection:
        require_schema(connection)
        item = get_collection(connection, name)
        needed = (
            f"it takes imgvec_worker, SELECT on {item.shown_source} and, where row-level security hides rows of it, "
            "BYPASSRLS; new partitions and policies take their owner"
        )
        with needing(connection, needed):
            done = reconcile(connection, item, contents=contents, lock_timeout_ms=lock_timeout_ms)
    if as_json:
        echo_json(dataclasses.asdict(done))
        return
    click.echo(
        f"{counted(done.enqueued, 'row')} enqueued ({done.changed:,} of them changed unseen), {done.orphans_deleted:,} orphaned "
        f"embeddings and {done.failures_deleted:,} orphaned failures deleted, {done.tables_given_triggers} tables given triggers"
    )
