"""`imgvec shard`: servers that hold parts of a collection, and the search over all of them."""

import os
from pathlib import Path

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.cli.search.answer_of_shards import answer_of_shards
from imgvec_pg.cli.search.embed_query import check_query
from imgvec_pg.database.connect import connect
from imgvec_pg.errors import DatabaseError
from imgvec_pg.shards.coordinator import span_collection, unspan_collection
from imgvec_pg.shards.servers import (
    DEFAULT_TIMEOUT_MS,
    Shard,
    add_shard,
    find_shards,
    remove_shard,
    require_shard_tables,
    shard_status,
)

PASSWORD_VARIABLE = "IMGVEC_SHARD_PASSWORD"  # noqa: S105 - a name, not a password


@click.group()
def shard() -> None:
    """Search a collection whose rows lie on several servers.

    Each shard is an ordinary server with its own part of the table, its own triggers, queue, workers and index. This
    database is their coordinator: its search_* asks all of them at once.

    \b
    Example:
      export IMGVEC_SHARD_PASSWORD=…
      imgvec shard add eu --at "host=eu.example dbname=shop user=app"
      imgvec shard add us --at "host=us.example dbname=shop user=app"
      imgvec shard span product_clip --shards eu,us
      psql -c "SELECT * FROM imgvec.search_product_clip(imgvec.embed_text('product_clip', 'red shoes'), 10)"
    """


@shard.command()
@click.argument("name")
@dsn_option
@click.option(
    "--at",
    required=True,
    metavar="DSN",
    help="The shard's database as the coordinator's server reaches it, and as whom to log in there.",
)
@click.option(
    "--timeout-ms",
    type=click.IntRange(10, 3_600_000),
    default=DEFAULT_TIMEOUT_MS,
    show_default=True,
    help="How long an answer may take.",
)
def add(name: str, dsn: str, at: str, timeout_ms: int) -> None:
    """Add a server: a foreign server, and a user mapping of this role.

    The coordinator's server connects to it, not this machine: localhost and a socket's folder in --at are the server's own.
    Other roles that search need a user mapping of their own: row-level security of the shards is theirs. dblink lets
    roles that are no superusers connect with a password only. IMGVEC_SHARD_PASSWORD has it where --at, which other
    users of this machine can see, has none.

    \b
    Example:
      IMGVEC_SHARD_PASSWORD=… imgvec shard add eu --at "host=eu.example dbname=shop user=app"
    """
    with connect(dsn, application_name="imgvec shard") as connection:
        require_shard_tables(connection)
        made = add_shard(
            connection, name, at, timeout_ms=timeout_ms, password=os.environ.get(PASSWORD_VARIABLE)
        )
    click.echo(f"shard {made.name}: {made.address} answers")
    click.echo(f"  search there too: imgvec shard span COLLECTION --shards …,{made.name}")


@shard.command()
@click.argument("name")
@dsn_option
def remove(name: str, dsn: str) -> None:
    """Forget a server; its rows stay where they are.

    \b
    Example:
      imgvec shard remove eu
    """
    with connect(dsn, application_name="imgvec shard") as connection:
        require_shard_tables(connection)
        remove_shard(connection, name)
    click.echo(f"shard {name} is forgotten; nothing was changed there")


@shard.command()
@click.argument("collection")
@dsn_option
@click.option("--shards", required=True, metavar="NAME,NAME", help="The shards that hold its rows.")
@click.option(
    "--pass-setting",
    "passed",
    multiple=True,
    metavar="NAME",
    help="Set this setting of the asking session on the shards too, for their row-level security: app.tenant.",
)
def span(collection: str, dsn: str, shards: str, passed: tuple[str, ...]) -> None:
    """Make search_COLLECTION here, over the collection of that name on each shard; again to change which.

    Refused unless all shards have it with the same key, model, weights, prompt and rendering.

    \b
    Example:
      imgvec shard span product_clip --shards eu,us
    """
    names = [name.strip() for name in shards.split(",") if name.strip()]
    with connect(dsn, application_name="imgvec shard") as connection:
        require_shard_tables(connection)
        model = span_collection(connection, collection, names, passed_settings=passed)
    click.echo(
        f"{collection} spans {', '.join(names)}: {model['model']}, {model['dimensions']} dimensions, "
        f"key {', '.join(model['key_columns'])}"
    )
    words = f"imgvec.embed_text('{collection}', 'red shoes')"
    click.echo(f"  search it: SELECT * FROM imgvec.search_{collection}({words}, 10)")  # noqa: S608 - shown, not run
    if model["no_near"] is None:
        click.echo(f"  join it: imgvec.near_{collection}_text('red shoes') with ORDER BY distance LIMIT 10")
    else:
        click.echo(f"  no near_{collection} to join with: {model['no_near']}", err=True)


@shard.command()
@click.argument("collection")
@dsn_option
def unspan(collection: str, dsn: str) -> None:
    """Drop search_COLLECTION here; the collection stays on its shards.

    \b
    Example:
      imgvec shard unspan product_clip
    """
    with connect(dsn, application_name="imgvec shard") as connection:
        require_shard_tables(connection)
        unspan_collection(connection, collection)
    click.echo(f"{collection} is no longer searched from here; nothing was changed on its shards")


@shard.command("search")
@click.argument("collection")
@click.argument("words", nargs=-1)
@click.option(
    "--image", type=click.Path(path_type=Path), metavar="FILE", help="Search with a picture instead of words."
)
@click.option("--like", metavar="KEY", help="Search with a row that is embedded on one of the shards.")
@click.option(
    "-k", "k", type=int, default=10, show_default=True, metavar="N", help="Pictures wanted, 1 to 10000."
)
@click.option("--all-rows", is_flag=True, help="Each row by itself, also those with the same picture.")
@click.option("--partial", is_flag=True, help="Where a shard is away, show what the others have, and say so.")
@json_option
@dsn_option
def search(
    collection: str,
    words: tuple[str, ...],
    image: Path | None,
    like: str | None,
    k: int,
    all_rows: bool,
    partial: bool,
    as_json: bool,
    dsn: str,
) -> None:
    """Find the nearest pictures on all shards: keys and distances. Workers of the shards embed words and pictures.

    \b
    Example:
      imgvec shard search product_clip "red leather shoes"
    """
    check_query(words, image, like)
    with connect(dsn, application_name="imgvec shard") as connection:
        require_shard_tables(connection)
        answer_of_shards(
            connection,
            collection,
            " ".join(words),
            image,
            like,
            k=k,
            distinct=not all_rows,
            partial=partial,
            as_json=as_json,
        )


@shard.command("list")
@dsn_option
@json_option
@click.pass_context
def list_(context: click.Context, dsn: str, as_json: bool) -> None:
    """Show each shard, whether it answers, and its part of each collection. Exits 1 where one does not answer.

    \b
    Example:
      imgvec shard list
    """
    with connect(dsn, application_name="imgvec shard") as connection:
        require_shard_tables(connection)
        shards = find_shards(connection)
        states: dict[str, list[dict[str, object]] | DatabaseError] = {}
        for item in shards:
            try:
                states[item.name] = shard_status(connection, item.name)
            except DatabaseError as error:
                states[item.name] = error
    if as_json:
        echo_json([_described(item, states[item.name]) for item in shards])
    elif not shards:
        click.echo("no shard yet; add one with: imgvec shard add NAME --at DSN")
    else:
        _print(shards, states)
    if any(isinstance(state, DatabaseError) for state in states.values()):
        context.exit(1)


def _described(item: Shard, state: list[dict[str, object]] | DatabaseError) -> dict[str, object]:
    shown = {"name": item.name, "address": item.address, "timeout_ms": item.timeout_ms}
    if isinstance(state, DatabaseError):
        return {**shown, "error": str(state), "collections": None}
    return {
        **shown,
        "error": None,
        "collections": [row for row in state if row["collection"] in item.collections],
    }


def _print(shards: list[Shard], states: dict[str, list[dict[str, object]] | DatabaseError]) -> None:
    rows: list[list[object]] = []
    for item in shards:
        state = states[item.name]
        if isinstance(state, DatabaseError):
            rows.append([item.name, item.address, "away", None, None, None, None])
            continue
        of_each = {str(row["collection"]): row for row in state}
        for name in item.collections or [""]:
            row = of_each.get(name, {})
            rows.append(
                [
                    item.name,
                    item.address,
                    name,
                    row.get("embedded"),
                    row.get("waiting"),
                    row.get("failed"),
                    row.get("index"),
                ]
            )
    echo_table(["shard", "address", "collection", "embedded", "waiting", "failed", "index"], rows)
    for item in shards:
        state = states[item.name]
        if isinstance(state, DatabaseError):
            click.echo(str(state), err=True)
