"""Measure and print recall over shards: of each shard and of the merged answers."""

from dataclasses import asdict

import click

from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.cli.search.measured_recall import measure_in_time, times_as_object
from imgvec_pg.database.connect import Connection
from imgvec_pg.search.recall.measurements import RecallOptions
from imgvec_pg.shards.shard_recall import ExactAnswers, PartRecall, ShardedRecall, open_meter

ALL = "all, merged"


def recall_of_shards(connection: Connection, name: str, options: RecallOptions, *, as_json: bool) -> None:
    """Measure a collection that spans shards and print one report.

    Raises:
        CollectionError: No row is embedded.
        DatabaseError: A shard gives no answer, or the time did not suffice.
    """
    with open_meter(connection, name, options) as meter:
        exact = meter.ask_exactly()
        steps = options.ef_searches or [meter.session_ef_search()]
        settings = measure_in_time("ef_search", steps, lambda step: meter.measure(exact, step))
        shards = list(meter.links)
    if as_json:
        echo_json(_as_object(name, shards, options, exact, settings))
        return
    click.echo(
        f"{name} on {', '.join(shards)}: {len(exact.keys)} rows as queries; exact search of all shards at once takes "
        f"{exact.p50_ms:.1f} ms (p95 {exact.p95_ms:.1f})"
    )
    header = (
        "ef_search",
        "rows of",
        "strategy",
        f"recall@{options.k}",
        "95 % from",
        "to",
        "p50 ms",
        "p95 ms",
        "short",
    )
    echo_table(header, [_row(setting.ef_search, part) for setting in settings for part in setting.parts])
    click.echo(
        "ef_search is this session's; where a shard's collection is tuned, its own holds: imgvec index show there"
    )


def _row(ef_search: int, part: PartRecall) -> list[object]:
    return [
        ef_search,
        part.shard or ALL,
        part.strategy,
        *(f"{share:.4f}" for share in (part.recall, part.low, part.high)),
        f"{part.p50_ms:.2f}",
        f"{part.p95_ms:.2f}",
        part.short,
    ]


def _as_object(
    name: str, shards: list[str], options: RecallOptions, exact: ExactAnswers, settings: list[ShardedRecall]
) -> dict[str, object]:
    return {
        "collection": name,
        "shards": shards,
        "k": options.k,
        "questions": len(exact.keys),
        "sample": options.sample,
        "seed": options.seed,
        "confidence": 0.95,
        **times_as_object(exact),
        "settings": [
            {"ef_search": setting.ef_search, "parts": [asdict(part) for part in setting.parts]}
            for setting in settings
        ],
    }
