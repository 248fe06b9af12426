"""What `imgvec import` says at its end."""

from dataclasses import asdict

import click

from imgvec_pg.store.collection import Collection
from imgvec_pg.text import counted
from imgvec_pg.transfer.import_collection import Imported
from imgvec_pg.transfer.vector_batch import VectorReader


def as_object(
    collection: Collection, reader: VectorReader, imported: Imported, seconds: float, *, is_dry: bool
) -> dict[str, object]:
    """Return an import for --json."""
    return {
        "collection": collection.name,
        "from": reader.name,
        "dry_run": is_dry,
        "rows": imported.rows,
        **asdict(imported.counts),
        "repeated": imported.repeated,
        "contradictory": imported.contradictory,
        "taken_off_queue": imported.taken_off_queue,
        "still_queued": imported.still_queued,
        "seconds": round(seconds, 2),
    }


def report(
    collection: Collection, reader: VectorReader, imported: Imported, seconds: float, *, is_dry: bool
) -> None:
    """Print an import: what was taken, what was not and why, and what comes next."""
    counts, name = imported.counts, collection.name
    done = "would be imported" if is_dry else "imported"
    click.echo(
        f"{name}: {counts.imported:,} of {counted(imported.rows, 'row')} {done} from {reader.name}, {seconds:.1f} s"
    )
    kept = [
        (counts.embedded, "", "had an embedding, and keep it"),
        (counts.normalised, "", "had another norm than 1, and were divided by it"),
        (imported.repeated, "", "came again with the same vector"),
        (counts.without_picture, "without_picture", "have no picture, and get no vector"),
        (
            counts.changed,
            "changed",
            "have another picture than the export says, or failed at a newer one: left to a worker; --trust-pictures takes them",
        ),
        (counts.unknown, "unknown", f"are of no row in {collection.shown_source}"),
        (imported.contradictory, "contradictory", "come again with another vector: neither was taken"),
    ]
    for count, kind, what in kept:
        if count:
            click.echo(f"  {count:,} {what}{examples(imported, kind)}")
    for reason, count in counts.bad.items():
        click.echo(f"  {count:,} not taken: {reason}{examples(imported, reason)}")
    if is_dry:
        return
    if imported.taken_off_queue:
        click.echo(f"  {counted(imported.taken_off_queue, 'key')} taken off the queue")
    waiting = f" ({imported.still_queued:,} in the queue)" if imported.still_queued else ""
    click.echo(
        f"embed what is missing or has changed{waiting}, and build the index, with: imgvec backfill {name}"
    )


def examples(imported: Imported, kind: str) -> str:
    """Return a few keys in brackets."""
    found = imported.counts.examples.get(kind)
    return f" (such as {'; '.join(found)})" if found else ""
