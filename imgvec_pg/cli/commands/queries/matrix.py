"""`imgvec matrix`: cosine similarity of each row with each other row."""

import csv
import sys

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.search.shared import collection_option, echo_answer, find_keys
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.errors import UsageError
from imgvec_pg.search.formatting import plain_value
from imgvec_pg.search.operations.similarity_matrix import similarity_matrix
from imgvec_pg.search.query_types import show_key
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEYS...")
@collection_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, in full precision.")
@dsn_option
def matrix(keys: tuple[str, ...], collection_name: str | None, as_json: bool, as_csv: bool, dsn: str) -> None:
    """Show how alike some rows are among each other.

    Cosine similarity, 1 to -1, of each of up to 500 rows with each.

    \b
    Example:
      imgvec matrix 7,12,30
      imgvec matrix 7,12,30 --csv > alike.csv
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv were given; expected one of them")
    with connect(dsn, application_name="imgvec matrix") as connection:
        require_schema(connection)
        collection = get_collection(connection, collection_name)
        found = find_keys(connection, collection, keys)
        similarities = similarity_matrix(connection, collection, found).tolist()
    names = [show_key(key) for key in found]
    if as_json:
        echo_json({"keys": [plain_value(key) for key in found], "similarities": similarities})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["", *names])
        writer.writerows([name, *line] for name, line in zip(names, similarities, strict=True))
    else:
        lines = [
            [name, *(f"{value:.3f}" for value in line)]
            for name, line in zip(names, similarities, strict=True)
        ]
        echo_answer(["", *names], lines)
