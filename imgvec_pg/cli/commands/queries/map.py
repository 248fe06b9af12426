"""`imgvec map`: every picture of a collection as a point, like beside like."""

import os
import time
from pathlib import Path

import click

from imgvec_pg.cli.options import dsn_option, json_option
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.search.report_map import report_made, report_updated
from imgvec_pg.cli.search.shared import memory_option, where_option
from imgvec_pg.cli.search.write_map import write_map_files
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.demo.vocabulary import demo_words
from imgvec_pg.embedding.catalog import DEMO_NAME
from imgvec_pg.errors import UsageError
from imgvec_pg.maps.layout import LANDMARKS
from imgvec_pg.maps.make_map import MapOptions, make_map, update_map
from imgvec_pg.maps.map_tables import has_map
from imgvec_pg.maps.name_clusters import NameSource
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("name", metavar="COLLECTION")
@click.option(
    "--update",
    is_flag=True,
    help="Only place rows that are new or changed since, by their nearest neighbours on the map; nothing else moves.",
)
@where_option
@click.option(
    "--clusters",
    type=click.IntRange(1, 500),
    metavar="N",
    help="Number of clusters  [default: that of 3 to 24 that fits best]",
)
@click.option(
    "--words",
    "words_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Name clusters by words of this file, one a line, for models that know words.",
)
@click.option(
    "--names-from",
    metavar="COLUMN",
    help="Name clusters by a column's most telling value  [default: the column of text that tells most]",
)
@click.option(
    "--landmarks",
    type=click.IntRange(min=100),
    default=LANDMARKS,
    show_default=True,
    metavar="N",
    help="Pictures that are placed by t-SNE; others are placed by the nearest of these.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Another gives another map.",
)
@memory_option
@click.option(
    "--png",
    "png_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the map with pictures and names, for a report. One that is there is drawn as it is.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it as a page to move about in, one file that needs no server; up to 20,000 points.",
)
@click.option(
    "--color-by",
    metavar="COLUMN",
    help="With --png and --html: colour by a column of the source  [default: by cluster]",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the pictures to show lie on this machine  [default: the collection's root]",
)
@json_option
@dsn_option
def map(
    name: str,
    update: bool,
    where: str | None,
    clusters: int | None,
    words_file: Path | None,
    names_from: str | None,
    landmarks: int,
    seed: int,
    memory: int,
    png_file: Path | None,
    html_file: Path | None,
    color_by: str | None,
    root: Path | None,
    as_json: bool,
    dsn: str,
) -> None:
    """Place every picture of a collection on a map, like beside like, in named clusters.

    Written to imgvec.map_COLLECTION (the key, x, y, cluster, cluster_name), which you join with your table; it shows to each role
    the rows that it sees. An earlier map is replaced. Rows that share a picture share a place. Needs the extra [map].

    Rows that come later are not on it until you run it with --update, which is quick.

    \b
    Example:
      imgvec map product_clip
      imgvec map product_clip --words words.txt
      imgvec map product_clip --update
      imgvec map product_clip --png map.png --html map.html
    """
    given = {"--where": where, "--clusters": clusters, "--words": words_file, "--names-from": names_from}
    remakes = [option for option, value in given.items() if value is not None]
    if update and remakes:
        raise UsageError(
            f"{remakes[0]} was given with --update, which keeps the map as it is; expected one of them"
        )
    if words_file is not None and names_from is not None:
        raise UsageError("--words and --names-from were given; expected one of them")
    words = read_words(words_file) if words_file else []
    # Threads of a layout wait for each other; by default they do so at full speed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    begun = time.monotonic()
    with connect(dsn, application_name="imgvec map") as connection:
        require_schema(connection)
        collection = get_collection(connection, name)
        is_drawn = png_file is not None or html_file is not None
        if update:
            report_updated(collection, update_map(connection, collection, memory, say), as_json)
        elif remakes or not is_drawn or not has_map(connection, collection):
            names = NameSource(words or own_words(collection, names_from), names_from)
            options = MapOptions(where, clusters, names, landmarks, seed, memory)
            made = make_map(connection, collection, options, say)
            report_made(collection, made, time.monotonic() - begun, as_json)
        if is_drawn:
            write_map_files(connection, collection, color_by or "cluster", root, html_file, png_file)


def own_words(collection: Collection, names_from: str | None) -> list[str]:
    """Return the words that come with a model: only the demo's has some."""
    return demo_words() if collection.model_name == DEMO_NAME and names_from is None else []


def read_words(file: Path) -> list[str]:
    """Return the words of a file, one a line.

    Raises:
        UsageError: It is no text.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file} as UTF-8 text ({error}); expected a word a line") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
