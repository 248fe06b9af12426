"""`imgvec calibrate`: measure the distribution of distances between random pairs."""

from dataclasses import asdict

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.search.operations.calibration import FEWEST_TEXTS
from imgvec_pg.search.operations.calibration import calibrate as calibrate_collection
from imgvec_pg.store.registry import get_collection

SHOWN = (0.001, 0.01, 0.1, 1, 10, 50, 90)


@click.command()
@click.argument("name", required=False)
@click.option(
    "--sample", type=int, default=2000, show_default=True, metavar="N", help="Rows drawn, 2 to 5000."
)
@json_option
@dsn_option
def calibrate(name: str | None, sample: int, as_json: bool, dsn: str) -> None:
    """Measure how far apart random pairs are, for percentiles.

    A distance of 0.3 says something else with each model; "nearer than 99.9 % of random pairs" does not. What is
    measured is stored for imgvec.percentile and imgvec.distance_at in SQL and for imgvec search --max-percentile. Run it
    again when the collection has grown much.

    \b
    Example:
      imgvec calibrate product_clip
    """
    with connect(dsn, application_name="imgvec calibrate") as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec calibrate NAME")
        found = calibrate_collection(connection, collection, sample)
    if as_json:
        echo_json([asdict(one) for one in found])
        return
    header = [
        "percentile",
        *(f"distance of {'two rows' if one.pairs_of == 'rows' else 'words and a row'}" for one in found),
    ]
    curves = [dict(zip(one.percentiles, one.distances, strict=True)) for one in found]
    echo_table(header, [[f"{shown:g}", *(f"{curve[shown]:.4f}" for curve in curves)] for shown in SHOWN])
    counts = ", ".join(f"{one.pair_count:,} pairs of {one.pairs_of}" for one in found)
    click.echo(f"{collection.name}: measured on {counts}")
    if len(found) == 1:
        click.echo(f"words were left out: fewer than {FEWEST_TEXTS} texts are cached", err=True)
