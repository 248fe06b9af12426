"""Export a collection: parts in the key's order; one that was cut off goes on behind its last whole part."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import ImgvecError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import find_models
from imgvec_pg.transfer.export_columns import map_moment, require_map, source_types
from imgvec_pg.transfer.export_description import (
    FILE_NAME,
    MAP_COLUMNS,
    ExportDescription,
    read_description,
)
from imgvec_pg.transfer.lance_writer import LanceWriter
from imgvec_pg.transfer.part_pool import PartPool
from imgvec_pg.transfer.part_reader import KeyRange, key_ranges, read_part, shared_snapshot
from imgvec_pg.transfer.part_writers import PartWriter
from imgvec_pg.transfer.row_chunks import CONTENT_HASH, REFERENCE_HASH, RowChunk, arrow_type

LAYOUTS = ("parquet", "npy", "lance")
VECTOR_TYPES = ("float16", "float32")
PART_BYTES = 64 << 20


def describe_export(
    connection: Connection,
    collection: Collection,
    layout: str,
    vector_type: str,
    columns: Sequence[str],
    *,
    has_map: bool = False,
) -> ExportDescription:
    """Return what an export of a collection says of itself.

    Raises:
        UsageError: The source has no such column, one of them has a name that the export needs, or there is no map.
    """
    present = source_types(connection, collection)
    key = collection.key_columns
    unknown = [name for name in columns if name not in present]
    if unknown:
        raise UsageError(
            f'{collection.shown_source} has no column "{unknown[0]}"; there are: {", ".join(present)}'
        )
    vector_column = "embedding"
    while vector_column in (*key, *columns):
        vector_column += "_"
    own = (CONTENT_HASH, REFERENCE_HASH, *(require_map(connection, collection) if has_map else ()))
    taken = [name for name in (*key, *columns) if name in own]
    if taken:
        raise UsageError(
            f'an export has a column "{taken[0]}" of its own; leave out that of {collection.shown_source}'
        )
    model = next(
        model for model in find_models(connection, collection.model_name) if model.id == collection.model_id
    )
    images = tuple(name for name in (collection.path_column, collection.content_column) if name is not None)
    golden: dict[str, list[list[float]]] = {}
    statement = render("queries/golden_vectors.sql", vector=sql.Identifier(vector_schema(connection)))
    for kind, embedding in connection.execute(statement, {"model_id": collection.model_id}):
        golden.setdefault(kind, []).append([float(part) for part in embedding.strip("[]").split(",")])
    return ExportDescription(
        collection=collection.name,
        source=collection.shown_source,
        layout=layout,
        key=dict(zip(key, collection.key_types, strict=True)),
        vector_column=vector_column,
        vector_type=vector_type,
        dimensions=collection.dimensions,
        model=collection.model_name,
        fingerprint=model.fingerprint,
        rendering=collection.rendering,
        image_columns=images,
        watch_columns=tuple(collection.watch_columns),
        columns=(*(name for name in columns if name not in key), *(MAP_COLUMNS if has_map else ())),
        golden=golden,
        has_map=has_map,
        map_moment=map_moment(connection, collection) if has_map else None,
    )


def estimate_rows(connection: Connection, collection: Collection) -> int:
    """Return how many rows an export will have, about."""
    table = sql.Identifier("imgvec", collection.embedding_table).as_string(None)
    row = connection.execute(
        load_sql("queries/estimated_rows.sql"), {"table": table, "dimensions": collection.dimensions}
    ).fetchone()
    return int(row[0]) if row else 0


def export_vectors(
    connection: Connection,
    readers: Sequence[Connection],
    collection: Collection,
    directory: Path,
    description: ExportDescription,
    progress: Callable[[int], None] = lambda rows: None,
) -> ExportDescription:
    """Write all embedded rows into a folder; where an export of the same was cut off there, go on.

    Several readers read one snapshot, which the connection holds until the end; of one each part is of its own moment.

    Args:
        readers: Further connections to the same server, one for each part that is read and written at once; of layout lance one.
        progress: Called with the rows written so far, from several threads.

    Raises:
        UsageError: The folder holds something else.
        ImgvecError: It cannot be written.
        DatabaseError: The connections do not share a snapshot.
        psycopg.errors.InsufficientPrivilege: The role may not read it all.
    """
    try:
        return _export(connection, readers, collection, directory, description, progress)
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise ImgvecError(
            f"the folder {directory} cannot be written ({reason}); parts that are whole stay there. Run the same command again "
            "once it can be, it goes on behind them"
        ) from error


def _export(
    connection: Connection,
    readers: Sequence[Connection],
    collection: Collection,
    directory: Path,
    description: ExportDescription,
    progress: Callable[[int], None],
) -> ExportDescription:
    types = {**source_types(connection, collection), **(MAP_COLUMNS if description.has_map else {})}
    arrow = {name: arrow_type(kind, is_key=name in description.key) for name, kind in types.items()}
    writer = (LanceWriter if description.layout == "lance" else PartWriter)(directory, description, arrow)
    _prepare(directory, description)
    writer.discard_partial()
    part_rows = max(1, PART_BYTES // description.vector_bytes)
    done = writer.count_rows()
    progress(done)
    with ExitStack() as stack:
        snapshot = stack.enter_context(shared_snapshot(connection, collection)) if len(readers) > 1 else None

        def read(reader: Connection, keys: KeyRange) -> Generator[RowChunk]:
            return read_part(reader, collection, description, types, keys, snapshot, writer.chunk_rows)

        ranges = key_ranges(
            connection, collection, writer.last_key(), part_rows, is_in_transaction=snapshot is not None
        )
        pool = stack.enter_context(PartPool(writer, readers, read, done, progress))
        for number, keys in enumerate(ranges, writer.next_number()):
            _require_same_map(connection, collection, description)
            pool.submit(number, keys)
        pool.finish()
        _require_same_map(connection, collection, description)
    finished = replace(description, is_finished=True, rows=writer.count_rows())
    finished.write(directory)
    return finished


def _require_same_map(connection: Connection, collection: Collection, description: ExportDescription) -> None:
    if description.has_map and map_moment(connection, collection) != description.map_moment:
        raise UsageError(
            f"the map of {collection.name} was made anew meanwhile, and the parts that are written have places of the one "
            "before: export into another folder"
        )


def _prepare(directory: Path, description: ExportDescription) -> None:
    """Make the folder and say in it what is being written, or check that it is the same."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; expected a folder, new or empty")
    there = read_description(directory)
    if there is None:
        if directory.exists() and any(directory.iterdir()):
            raise UsageError(
                f"the folder {directory} is not empty and holds no export; expected a new or empty one"
            )
        directory.mkdir(parents=True, exist_ok=True)
    elif there.is_finished:
        raise UsageError(
            f"the folder {directory} holds a finished export of {there.collection}; expected a new or empty one"
        )
    elif replace(there, golden={}, fingerprint=None) != replace(description, golden={}, fingerprint=None):
        raise UsageError(
            f"the folder {directory} holds an export that was cut off and is of something else ({there.collection} as "
            f"{there.layout}, "
            f"{there.vector_type}): finish it as it was begun, or give another folder"
        )
    elif there.fingerprint not in (None, description.fingerprint):
        raise UsageError(f"{directory / FILE_NAME} is of other weights of {there.model}; give another folder")
    description.write(directory)
