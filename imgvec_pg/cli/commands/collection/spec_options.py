"""The options of `imgvec collection create` that make a CollectionSpec; each is called after its field."""

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from imgvec_pg.adoption.candidates import AUTO
from imgvec_pg.database.index_methods.methods import BUILT_HERE, QUANTIZATIONS
from imgvec_pg.database.partitioning import MAX_PARTITIONS
from imgvec_pg.embedding.matryoshka import with_dimensions
from imgvec_pg.errors import UsageError
from imgvec_pg.images.rendering.bands import EXPECTED, Bands, check_bands
from imgvec_pg.store.spec import MAX_DIMENSIONS, CollectionSpec

Command = TypeVar("Command", bound=Callable[..., Any])

LIBRARY = "imgvec.image"


NO_BANDS = "none"


def dimensions_options(command: Command) -> Command:
    """Add --dimensions and --force-dimensions, which become a part of the model's name."""
    command = click.option(
        "--force-dimensions",
        is_flag=True,
        help="Cut a model that was not trained for it all the same; what is lost nobody has measured.",
    )(command)
    return click.option(
        "--dimensions",
        type=click.IntRange(1, MAX_DIMENSIONS),
        metavar="N",
        help="Keep the first N dimensions of each vector, where the model was trained for that (Matryoshka).",
    )(command)


def cut_name(model: str, dimensions: int | None, *, is_forced: bool) -> str:
    """Return the name of the model cut to what --dimensions says.

    Raises:
        UsageError: --force-dimensions stands alone, or the model is still to be found out.
    """
    if dimensions is None:
        if is_forced:
            raise UsageError("--force-dimensions goes with --dimensions N")
        return model
    if model == AUTO:
        raise UsageError("--dimensions is for a model that is named: --model auto finds out whole ones")
    return with_dimensions(model, dimensions, is_forced=is_forced)


def read_bands(context: click.Context, option: click.Parameter, value: str | None) -> Bands | None:
    """Return the numbers of "4,3,2", none for "none"; None where nothing is said."""
    if value is None:
        return None
    try:
        bands = () if value == NO_BANDS else tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no choice of bands; {EXPECTED}", context, option) from error
    try:
        check_bands(bands)
    except UsageError as error:
        raise click.BadParameter(str(error), context, option) from error
    return bands


OPTIONS = (
    click.argument("name"),
    click.option(
        "--source", metavar="TABLE", help="Table that has a row for each picture, such as shop.product."
    ),
    click.option(
        "--image",
        multiple=True,
        metavar="COLUMN",
        help="Column with the pictures: paths (text) or the pictures themselves (bytea). Twice, for one of each.",
    ),
    click.option(
        "--library",
        is_flag=True,
        help="Use the built-in library (imgvec add) as the source; call its collection `image` to use the ready Python classes.",
    ),
    click.option(
        "--model",
        required=True,
        help="architecture/pretrained, such as ViT-B-32/laion2b_s34b_b79k; auto with --adopt, which finds out.",
    ),
    click.option(
        "--root",
        metavar="DIR",
        help="Folder that paths are relative to; the worker reads nothing outside it.",
    ),
    click.option(
        "--url",
        "url_prefixes",
        multiple=True,
        metavar="PREFIX",
        help="URLs that may be fetched begin so: https://img.example.com, https://*.example.com, s3://bucket. None by default.",
    ),
    click.option(
        "--watch",
        multiple=True,
        metavar="COLUMN",
        help="Another column whose change means a new picture.",
    ),
    click.option(
        "--key",
        multiple=True,
        metavar="COLUMN",
        help="Columns that identify a row, for views. Needs --no-fk.",
    ),
    click.option(
        "--fk/--no-fk",
        "foreign_key",
        default=True,
        help="--no-fk: no foreign key on the source: TRUNCATE and DROP of it then need no CASCADE.",
    ),
    click.option("--m", type=int, default=16, show_default=True, help="HNSW: links per node."),
    click.option(
        "--ef-construction",
        type=int,
        default=64,
        show_default=True,
        help="HNSW: candidates kept while building.",
    ),
    click.option(
        "--quantize",
        "quantization",
        type=click.Choice(QUANTIZATIONS),
        help="bit: index one bit a dimension and rank the finds again by the full vectors, for collections beyond memory.",
    ),
    click.option(
        "--method",
        "index_method",
        type=click.Choice(list(BUILT_HERE)),
        default="hnsw",
        show_default=True,
        help="How the index is built.",
    ),
    click.option(
        "--lists", type=int, help="IVFFlat: lists  [default: as many as suit the rows at each build]"
    ),
    click.option(
        "--partitions",
        "--hash",
        "partitions",
        type=click.IntRange(0, MAX_PARTITIONS),
        default=0,
        metavar="N",
        help="Hash partitions of the embedding table: by the whole key, or by the column of --partition-by.",
    ),
    click.option(
        "--partition-by",
        metavar="COLUMN",
        help="Divide the embedding table by a column of the key, such as tenant_id: large tenants have a partition and an index "
        "of their own (imgvec collection partition), the others share one; or by the column's hash (--hash N).",
    ),
    click.option(
        "--list", "by_list", is_flag=True, help="Of --partition-by the first, which is the default."
    ),
    click.option(
        "--bands",
        metavar="R,G,B",
        default=NO_BANDS,
        callback=read_bands,
        help="Bands of TIFFs with more than colours to show red, green and blue, such as 4,3,2. By default those that a file "
        "names so, else its first three.",
    ),
    click.option(
        "--prompt",
        default="{}",
        metavar="TEXT",
        help="What words become before they are embedded, {} standing for them, such as 'a photo of {}'.",
    ),
)


def spec_options(command: Command) -> Command:
    """Add the argument NAME and the options of a collection; the command gets them as `spec`, its model looked up."""

    @functools.wraps(command)
    def with_spec(*arguments: Any, library: bool, **options: Any) -> Any:  # noqa: ANN401
        if options.pop("by_list") and (options["partitions"] or not options["partition_by"]):
            raise UsageError("--list goes with --partition-by COLUMN, and not with --hash or --partitions")
        kept, is_forced = options.pop("dimensions"), options.pop("force_dimensions")
        options["model"] = cut_name(options["model"], kept, is_forced=is_forced)
        names = [field.name for field in fields(CollectionSpec) if field.name in options]
        spec = make_spec({name: options.pop(name) for name in names}, library=library)
        return command(*arguments, spec=spec, **options)

    for option in (dimensions_options, *reversed(OPTIONS)):
        with_spec = option(with_spec)
    return with_spec  # type: ignore[return-value]


def make_spec(values: dict[str, Any], *, library: bool) -> CollectionSpec:
    """Return the spec that the options' values make, its model looked up where it is named and not "auto".

    Args:
        library: Whether the source is the built-in library.

    Raises:
        UsageError: The source or the image column is missing, or given beside --library; or a value cannot be used.
        ModelNotFoundError: No model has this name.
    """
    if library:
        if values["source"] or values["image"]:
            raise UsageError("--library is a source of its own; leave out --source and --image")
        values |= {
            "source": LIBRARY,
            "image": ("uri", "content"),
            "watch": ("content_hash", *values["watch"]),
            "root": values["root"] or "/",
        }
    if values["root"] is not None:
        # Workers start in other folders.
        values["root"] = str(Path(values["root"]).expanduser().absolute())
    if not values["source"] or not values["image"]:
        raise UsageError(
            "say which table and column hold the pictures: --source shop.product --image photo_path, or --library"
        )
    if values["model"] == AUTO:
        return CollectionSpec(**values)
    return CollectionSpec(**values).resolve()
