"""What `imgvec verify` and `imgvec status` tell of collections that span shards, from their coordinator."""

import json
from collections.abc import Sequence
from typing import Any

import click

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import DatabaseError
from imgvec_pg.shards.keys_on_two_shards import KeysOfShards, find_repeated_keys
from imgvec_pg.shards.servers import find_shards, shard_status
from imgvec_pg.store.registry import find_spans
from imgvec_pg.text import counted

ON_TWO_SHARDS = "key_on_two_shards"
MEANING = "lie on two shards, which a search finds twice"


def verify_spans(connection: Connection, name: str | None) -> list[KeysOfShards | tuple[str, str]]:
    """Look for keys on two shards, of one collection that spans shards or of all.

    Returns:
        What was found; for one that could not be looked at its name and why.

    Raises:
        DatabaseError: The one that is named cannot be looked at.
    """
    found: list[KeysOfShards | tuple[str, str]] = []
    for span in find_spans(connection):
        if name in (None, span):
            try:
                found.append(find_repeated_keys(connection, span))
            except DatabaseError as error:
                if name is not None:
                    raise
                found.append((span, str(error)))
    return found


def in_step(found: KeysOfShards | tuple[str, str]) -> bool:
    """Whether it was looked at, and no key lies on two shards."""
    return isinstance(found, KeysOfShards) and not found.repeated


def report_span(found: KeysOfShards | tuple[str, str]) -> None:
    """Print one collection: a line that sums up, and one with examples."""
    if not isinstance(found, KeysOfShards):
        click.echo(f"{found[0]}: NOT verified; {found[1]}")
        return
    state = "NOT in step" if found.repeated else "no key twice"
    click.echo(f"{found.name}: {state}; {found.embedded:,} embedded on {', '.join(found.shards)}")
    if not found.repeated:
        click.echo("  whether each shard's rows, embeddings and queue agree is told there: imgvec verify")
        return
    examples = ", ".join(f"{json.dumps(key)} ({', '.join(shards)})" for key, shards in found.examples)
    more = ", …" if found.repeated > len(found.examples) else ""
    click.echo(f"  {ON_TWO_SHARDS:<20}{found.repeated:>8,}  {MEANING}: {examples}{more}")
    click.echo(
        f"  {ON_TWO_SHARDS} rows: delete {counted(found.repeated, 'row')} of the source on one of the shards"
    )


def span_object(found: KeysOfShards | tuple[str, str]) -> dict[str, Any]:
    """Return the report of one collection for --json, with the fields of `imgvec verify`."""
    if not isinstance(found, KeysOfShards):
        return {"collection": found[0], "is_in_step": False, "problem": found[1], "differences": []}
    examples = [{"key": key, "shards": shards} for key, shards in found.examples]
    differences = [{"kind": ON_TWO_SHARDS, "rows": found.repeated, "examples": examples, "meaning": MEANING}]
    return {
        "collection": found.name,
        "shards": found.shards,
        "embedded": found.embedded,
        "is_in_step": not found.repeated,
        "problem": None,
        "differences": differences if found.repeated else [],
    }


def span_states(connection: Connection, name: str | None) -> tuple[list[dict[str, Any]], Sequence[str]]:
    """Return the state of collections that span shards on each of them, as imgvec.status has it there, and what is away.

    Each row also has `shard`.
    """
    spans = find_spans(connection)
    states: list[dict[str, Any]] = []
    away: list[str] = []
    if not spans or (name is not None and name not in spans):
        return states, away
    for shard in find_shards(connection):
        wanted = [span for span in shard.collections if name in (None, span)]
        try:
            rows = shard_status(connection, shard.name) if wanted else []
        except DatabaseError as error:
            away.append(str(error))
            continue
        states += [{**row, "shard": shard.name} for row in rows if row["collection"] in wanted]
        there = {row["collection"] for row in rows}
        away += [
            f'shard "{shard.name}" has no collection "{span}" any more; make it there again, or leave it out: imgvec shard span'
            for span in wanted
            if span not in there
        ]
    return sorted(states, key=lambda row: (row["collection"], row["shard"])), away
