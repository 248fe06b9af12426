"""`imgvec index tune`: find the cheapest setting that reaches a recall."""

import click

from imgvec_pg.cli.commands.recall import as_object, measuring_options
from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.search.recall.measure import RecallMeter
from imgvec_pg.search.recall.measurements import Setting
from imgvec_pg.search.recall.tune import find_setting, store_setting, tuning_options
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("name", metavar="COLLECTION")
@click.option(
    "--recall", "wanted", type=float, default=0.99, show_default=True, help="Recall to reach, 0.5 to 0.9999."
)
@click.option(
    "--sample", type=int, help="Rows to ask with  [default: enough to show the recall]", metavar="N"
)
@measuring_options
@click.option("--dry-run", is_flag=True, help="Store nothing; say what would be stored.")
@json_option
@dsn_option
def tune(
    name: str,
    wanted: float,
    sample: int | None,
    k: int,
    seed: int,
    max_seconds: float,
    dry_run: bool,
    as_json: bool,
    dsn: str,
) -> None:
    """Find the cheapest ef_search (HNSW) or probes (IVFFlat) that reaches a recall, and store it for all searches.

    It is the first setting whose whole 95 % interval, as `imgvec recall` shows it, lies at or above --recall: so not one
    that was lucky on the sample. Searches from Python and search_* use it from then on.

    \b
    Example:
      imgvec index tune product_clip --recall 0.99
    """
    options = tuning_options(wanted, k, sample, seed, max_seconds)
    with connect(dsn, application_name="imgvec tune") as connection:
        require_schema(connection)
        collection = get_collection(connection, name)
        meter = RecallMeter(connection, collection, options)
        label = str(meter.method.tuned)
        tuned = find_setting(meter, wanted, lambda setting: show_setting(label, setting))
        value = tuned.chosen.value
        if not dry_run:
            store_setting(connection, collection, label, value)
    if as_json:
        measured = as_object(meter, tuned.exact, tuned.settings)
        echo_json({**measured, label: value, "stored": not dry_run})
    else:
        click.echo(f"{collection.name}: {label} {value} {'would be' if dry_run else 'is'} stored")


def show_setting(label: str, setting: Setting) -> None:
    """Say what one setting gave."""
    click.echo(
        f"{label} {setting.value}: recall {setting.recall:.4f} ({setting.low:.4f} to {setting.high:.4f}), "
        f"p50 {setting.p50_ms:.2f} ms",
        err=True,
    )
