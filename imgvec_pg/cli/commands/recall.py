"""`imgvec recall`: measure recall_at_k and latency of the index, and print them."""

from dataclasses import asdict

import click

from imgvec_pg.cli.options import Command, dsn_option, echo_json, json_option
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.cli.search.answer_of_shards import refuse_options
from imgvec_pg.cli.search.measured_recall import measure_in_time, times_as_object
from imgvec_pg.cli.search.recall_of_shards import recall_of_shards
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.errors import UsageError
from imgvec_pg.search.recall.measure import RecallMeter
from imgvec_pg.search.recall.measurements import INDEX_ROUNDING, Exact, RecallOptions, Setting
from imgvec_pg.store.registry import find_span, get_collection
from imgvec_pg.store.search_functions import BURST_DISTANCE


def measuring_options(command: Command) -> Command:
    """Add -k, --seed and --max-seconds."""
    options = (
        click.option(
            "-k", "k", type=int, default=10, show_default=True, help="Neighbours, 1 to 1000.", metavar="N"
        ),
        click.option(
            "--seed", type=int, default=0, show_default=True, help="Seed of the random sample.", metavar="N"
        ),
        click.option(
            "--max-seconds",
            type=float,
            default=120,
            show_default=True,
            help="Stop after this time, with fewer queries or settings.",
            metavar="S",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("name", metavar="COLLECTION")
@click.option("--where", metavar="SQL", help="Condition over the source's columns that the neighbours meet.")
@click.option(
    "--ask-matching",
    is_flag=True,
    help="Use only rows that match --where as queries  [default: any rows, as words and new images are]",
)
@click.option("--sample", type=int, default=200, show_default=True, help="Rows used as queries.", metavar="N")
@click.option(
    "--ef-search",
    "ef_search",
    metavar="A,B",
    help="Settings of an HNSW index to measure  [default: from k to 1000]",
)
@click.option("--probes", metavar="A,B", help="The same of an IVFFlat index  [default: from 1 to all lists]")
@measuring_options
@json_option
@dsn_option
def recall(
    name: str,
    where: str | None,
    ask_matching: bool,
    sample: int,
    ef_search: str | None,
    probes: str | None,
    k: int,
    seed: int,
    max_seconds: float,
    as_json: bool,
    dsn: str,
) -> None:
    """Measure recall and latency of the index.

    Rows drawn at random are the queries, by the index and by exact scan; a row is not in its own result. The interval holds
    the recall over all rows with 95 % confidence. Rows whose neighbours are all near copies, as frames of one scene are, are
    looked for and told by themselves, without --where. "short" counts answers with fewer rows than there are: searches then
    compare all rows. Where PostgreSQL's plan does not use the index the way is "exact", and there is no recall to measure.
    Nothing is written, and each query is a short transaction of its own. On a coordinator: the recall of each shard and of the
    merged answers, with --ef-search as the asking session would set it.

    \b
    Example:
      imgvec recall product_clip
      imgvec recall product_clip --where "price < 50" --sample 1000 --json
    """
    options = RecallOptions(
        k=k,
        where=where,
        ask_matching=ask_matching,
        sample=sample,
        seed=seed,
        max_seconds=max_seconds,
        ef_searches=parse_settings(ef_search),
        probes=parse_settings(probes),
    )
    with connect(dsn, application_name="imgvec recall") as connection:
        require_schema(connection)
        if (span := find_span(connection, name)) is not None:
            refuse_options(
                span, {"--where": where, "--ask-matching": ask_matching or None, "--probes": probes}
            )
            recall_of_shards(connection, span, options, as_json=as_json)
            return
        meter = RecallMeter(connection, get_collection(connection, name), options)
        meter.check()
        exact = meter.ask_exactly()
        in_use = meter.value_in_use()
        is_asked = ef_search is not None or probes is not None
        steps = meter.ladder() if is_asked else sorted({*meter.ladder(), in_use})
        settings = measure_in_time(meter.method.tuned, steps, lambda step: meter.measure(exact, step))
        bursts = measure_bursts(meter, in_use) if where is None else None
    if as_json:
        in_use_now = {} if meter.method.tuned is None else {f"{meter.method.tuned}_in_use": in_use}
        echo_json({**as_object(meter, exact, settings), **in_use_now, **bursts_as_object(meter, bursts)})
        return
    print_settings(meter, exact, settings, in_use)
    print_bursts(meter, bursts)


def measure_bursts(meter: RecallMeter, in_use: int) -> tuple[Exact, Setting] | None:
    """Return the exact answers of rows in bursts of near copies and what the setting in use gives; None where there are few."""
    bursts = meter.ask_bursts()
    # Which of a thousand near copies are the ten nearest is decided beyond what an index keeps.
    setting = None if bursts is None else meter.measure(bursts, in_use, INDEX_ROUNDING)
    return None if bursts is None or setting is None else (bursts, setting)


def print_bursts(meter: RecallMeter, measured: tuple[Exact, Setting] | None) -> None:
    """Say what was measured of rows in bursts, where there are some."""
    if measured is None or measured[1].recall is None:
        return
    bursts, setting = measured
    k = meter.options.k
    how = f"{meter.method.tuned} {setting.value}" if meter.method.tuned else "the session's settings"
    click.echo(
        f"in bursts of near copies: recall@{k} {setting.recall:.4f} (95 % from {setting.low:.4f} to {setting.high:.4f}) at "
        f"{how}, {len(bursts.questions)} rows whose {k} nearest lie within {BURST_DISTANCE:g}; rows up to {INDEX_ROUNDING:g} "
        "further count, as the index rounds so much (above they do not)"
    )


def bursts_as_object(meter: RecallMeter, measured: tuple[Exact, Setting] | None) -> dict[str, object]:
    """Return what was measured of rows in bursts as JSON has it, under "bursts"; null where there are few."""
    if measured is None:
        return {"bursts": None}
    bursts, setting = measured
    shown = {
        "questions": len(bursts.questions),
        "max_distance": BURST_DISTANCE,
        "rounding": INDEX_ROUNDING,
    }
    return {"bursts": {**shown, **setting_as_object(meter, setting)}}


def parse_settings(text: str | None) -> list[int] | None:
    """Read "40,80".

    Raises:
        UsageError: It is no list of whole numbers.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f'the settings "{text}" are no whole numbers; expected some such as 40,80,160'
        ) from error


def as_object(meter: RecallMeter, exact: Exact, settings: list[Setting]) -> dict[str, object]:
    """Return what was measured as JSON has it."""
    options = meter.options
    return {
        "method": meter.method.label,
        "k": options.k,
        "where": options.where,
        "asked_with": "matching rows" if options.ask_matching else "any rows",
        "questions": len(exact.questions),
        "sample": options.sample,
        "seed": options.seed,
        "confidence": 0.95,
        **times_as_object(exact),
        "settings": [setting_as_object(meter, setting) for setting in settings],
    }


def setting_as_object(meter: RecallMeter, setting: Setting) -> dict[str, object]:
    """Return what one setting gave as JSON has it, its value under the setting's own name."""
    measured = asdict(setting)
    return {meter.method.tuned or "setting": measured.pop("value"), **measured}


def print_settings(meter: RecallMeter, exact: Exact, settings: list[Setting], in_use: int) -> None:
    """Print a table of settings, that in use marked."""
    options = meter.options
    condition = "" if options.where is None else f", neighbours where {options.where}"
    count = len(exact.questions)
    asked = f"{count} {'matching ' if options.ask_matching else ''}rows"
    times = f"{exact.p50_ms:.1f} ms (p95 {exact.p95_ms:.1f})"
    click.echo(f"{meter.collection.name}: {asked} as queries{condition}; exact search takes {times}")
    if count < options.sample:
        click.echo(
            f"{count} of {options.sample} queries: as many as rows match and the time allows, see --max-seconds",
            err=True,
        )
    header = (
        meter.method.tuned or f"{meter.method.label}, the session's settings",
        "strategy",
        f"recall@{options.k}",
        "95 % from",
        "to",
        "p50 ms",
        "p95 ms",
        "short",
        "",
    )
    echo_table(header, [row_of(setting, in_use) for setting in settings])
    if any(setting.strategy == "exact" for setting in settings):
        click.echo(
            '"exact": PostgreSQL\'s plan does not use the index there; such answers are complete', err=True
        )


def row_of(setting: Setting, in_use: int) -> list[object]:
    """Return one line of the table."""
    bounds = (setting.recall, setting.low, setting.high)
    return [
        setting.value or "",
        setting.strategy,
        *("" if bound is None else f"{bound:.4f}" for bound in bounds),
        f"{setting.p50_ms:.2f}",
        f"{setting.p95_ms:.2f}",
        setting.short if setting.strategy == "index" else "",
        "in use" if setting.value == in_use else "",
    ]
