"""Print what a search over shards finds: keys and distances, and which shard was away."""

from pathlib import Path

import click

from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.search.shared import echo_answer
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.search.formatting import plain_value
from imgvec_pg.search.query_embedding import read_picture
from imgvec_pg.shards.search import search_shards


def refuse_options(name: str, given: dict[str, object]) -> None:
    """Refuse options that need the source's rows, which lie elsewhere.

    Args:
        given: Values by the option, those that were left out None or empty.

    Raises:
        UsageError: One was given.
    """
    if used := [option for option, value in given.items() if value not in (None, (), "")]:
        raise UsageError(
            f"the rows of {name} lie on shards: {', '.join(used)} cannot be had from here; leave it out, ask a shard itself, or "
            f"pass the keys that match to imgvec.search_{name}(…, among => …)"
        )


def answer_of_shards(
    connection: Connection,
    name: str,
    words: str,
    image: Path | None,
    like: str | None,
    *,
    k: int,
    distinct: bool,
    partial: bool = False,
    max_distance: float | None = None,
    as_json: bool,
) -> None:
    """Search a collection that spans shards and print the keys found, nearest first.

    Raises:
        DatabaseError: A shard is away and partial is false, or the query cannot be embedded there.
    """
    found = search_shards(
        connection,
        name,
        words=words or None,
        image=None if image is None else read_picture(image),
        like=like,
        k=k,
        distinct=distinct,
        partial=partial,
    )
    rows = [row for row in found.rows if max_distance is None or row.distance <= max_distance]
    if as_json:
        echo_json(
            [
                {"key": plain_value(row.key), "distance": row.distance, "strategy": found.strategy}
                for row in rows
            ]
        )
    elif rows:
        keys = list(rows[0].key)
        echo_answer(
            ["distance", *keys], [[f"{row.distance:.4f}", *(row.key[each] for each in keys)] for row in rows]
        )
    if not rows:
        click.echo("nothing found: no embedded row matches that this role may see there", err=True)
    if "away" in found.strategy:
        click.echo(f"not whole: {found.strategy}", err=True)
