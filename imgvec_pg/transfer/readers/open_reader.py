"""Find out what a path or address is, and open the reader for it."""

from collections.abc import Sequence
from pathlib import Path

from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.transfer.export_description import FILE_NAME, ExportDescription, read_description
from imgvec_pg.transfer.natural_order import in_order
from imgvec_pg.transfer.readers.columns import ColumnNames
from imgvec_pg.transfer.readers.faiss_index import FAISS, FaissReader
from imgvec_pg.transfer.readers.lance_table import LANCE, LanceReader
from imgvec_pg.transfer.readers.npy_parts import IMAGE_PATH, NpyReader, find_pairs
from imgvec_pg.transfer.readers.parquet_files import ARROW, PARQUET, ParquetReader
from imgvec_pg.transfer.readers.qdrant_scroll import QdrantReader
from imgvec_pg.transfer.row_lookup import RowLookup
from imgvec_pg.transfer.vector_batch import VectorReader

URLS = ("http://", "https://")
KINDS = (
    "an export of imgvec's, a folder of clip-retrieval's, .parquet or .arrow files, a .npy file with a .parquet file, a LanceDB "
    "table (NAME.lance), a FAISS index with --ids, or the URL of a Qdrant collection (http://127.0.0.1:6333/collections/NAME)"
)


def choose_columns(
    collection: Collection,
    key_columns: Sequence[tuple[str, str]],
    match: tuple[str, str] | None,
    vector: str | None,
) -> tuple[ColumnNames, RowLookup]:
    """Return the file's columns that rows are found by, and how they are found.

    Args:
        key_columns: Pairs of a key column of the source and the file's column.
        match: Another column of the source, and the file's column that has its text.

    Raises:
        UsageError: They do not name the key.
    """
    if match is not None:
        if key_columns:
            raise UsageError(
                "--match finds rows by another column than the key; leave out --key-column, or --match"
            )
        return ColumnNames([match[1]], vector, is_guessed=False), RowLookup(match[0])
    names = dict(key_columns)
    unknown = [name for name in names if name not in collection.key_columns]
    if unknown:
        raise UsageError(
            f'"{unknown[0]}" is no key column of {collection.shown_source}; expected {", ".join(collection.key_columns)}, or '
            f"--match {unknown[0]}=COLUMN to find rows by another column"
        )
    return ColumnNames(
        [names.get(name, name) for name in collection.key_columns], vector, is_guessed=not names
    ), RowLookup()


def open_reader(
    place: str, collection: Collection, columns: ColumnNames, lookup: RowLookup, ids: Path | None
) -> tuple[VectorReader, RowLookup]:
    """Open what is there; all its parts are looked at first.

    Returns:
        The reader, and how rows are found: by the path column, where clip-retrieval names pictures and nothing else was said.

    Raises:
        UsageError: It is nothing of the kind, or not whole.
        MissingExtraError: A library is not installed.
    """
    if place.startswith(URLS):
        return QdrantReader(place, columns), lookup
    path = Path(place)
    if not path.exists():
        raise UsageError(f"{place} does not exist; expected {KINDS}")
    if ids is not None or path.suffix.lower() in FAISS:
        return FaissReader(path, ids, columns), lookup
    if path.suffix.lower() == LANCE:
        return LanceReader(path, columns), lookup
    if path.is_file():
        return _open_file(path, columns), lookup
    return _open_folder(path, collection, columns, lookup)


def _open_file(path: Path, columns: ColumnNames) -> VectorReader:
    if path.suffix.lower() in (PARQUET, *ARROW):
        return ParquetReader([path], columns)
    if path.suffix.lower() == ".npy" and path.with_suffix(PARQUET).is_file():
        return NpyReader([(path, path.with_suffix(PARQUET))], columns)
    raise UsageError(f"{path} is none of what can be imported; expected {KINDS}")


def _open_folder(
    path: Path, collection: Collection, columns: ColumnNames, lookup: RowLookup
) -> tuple[VectorReader, RowLookup]:
    description = read_description(path)
    if description is not None:
        return _open_export(path, description, columns), lookup
    pairs = find_pairs(path)
    if pairs:
        if columns.is_guessed and lookup.column is None and collection.path_column is not None:
            # clip-retrieval knows pictures by their paths.
            columns = ColumnNames([IMAGE_PATH], columns.vector)
            lookup = RowLookup(collection.path_column, _below(collection.root))
        return NpyReader(pairs, columns), lookup
    tables = in_order(path.glob(f"*{LANCE}"))
    if len(tables) == 1:
        return LanceReader(tables[0], columns), lookup
    if tables:
        raise UsageError(
            f"the folder {path} holds {len(tables)} tables of LanceDB ({', '.join(table.name for table in tables[:5])}); "
            f"say which one: {tables[0]}"
        )
    if (path / "_versions").is_dir():
        raise UsageError(
            f"the folder {path} is a Lance dataset, which is opened as NAME{LANCE} alone; rename it to {path.name}{LANCE}"
        )
    for ending in (PARQUET, *ARROW):
        files = in_order(path.rglob(f"*{ending}"))
        if files:
            return ParquetReader(files, columns), lookup
    raise UsageError(f"the folder {path} holds none of what can be imported; expected {KINDS}")


def _below(root: str | None) -> str:
    return "" if root is None else root.rstrip("/") + "/"


def _open_export(path: Path, description: ExportDescription, columns: ColumnNames) -> VectorReader:
    if not description.is_finished:
        raise UsageError(
            f"the export in {path} was cut off; finish it first with the same imgvec export {description.collection} "
            f"{path}, or take "
            f"{FILE_NAME} away to import the parts that are there"
        )
    if not description.rows:
        raise UsageError(
            f"the export of {description.collection} in {path} has no rows; nothing was imported"
        )
    if columns.is_guessed and set(columns.keys) != set(description.key):
        raise UsageError(
            f"the export in {path} has the key {', '.join(description.key)}; expected {', '.join(columns.keys)}: say "
            "which column "
            f"is which, --key-column {columns.keys[0]}={next(iter(description.key))}"
        )
    named = ColumnNames(columns.keys, columns.vector or description.vector_column, columns.is_guessed)
    reader: VectorReader
    if description.layout == "npy":
        reader = NpyReader(find_pairs(path), columns, description)
    elif description.layout == "lance":
        reader = LanceReader(path / f"{description.collection}{LANCE}", named, description)
    else:
        reader = ParquetReader(in_order(path.glob(f"*{PARQUET}")), named, description)
    if reader.rows != description.rows:
        raise UsageError(
            f"the export in {path} has {reader.rows:,} rows; {FILE_NAME} says {description.rows:,}: parts are missing "
            "or of another run"
        )
    return reader
