"""Write rows that are new to the embedding table by binary COPY, which costs the server less than an upsert of the same rows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from psycopg.adapt import PyFormat

from imgvec_pg.database.binary_rows import COPY_END, COPY_HEADER, encode_rows
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.writing.key_formats import KEY_FORMATS, NO_VALUE, KeyFormat

log = logging.getLogger(__name__)

FEWEST_ROWS = 64
"""Of so many, a COPY with what goes before it takes 0.87 of an upsert's processor time, client and server. Fewer are changes that
an application made, mostly to rows that have a vector: looking first would be in vain."""
ROWS_AT_A_TIME = 128
"""Encoded together, while the server writes those before."""


class NewRow(Protocol):
    """What is written of an embedded key."""

    @property
    def key(self) -> Key:
        """As JSON."""

    @property
    def version(self) -> int:
        """Of the change that it was embedded for."""

    @property
    def embedding(self) -> npt.NDArray[np.float32]:
        """Shape (dimensions,), L2 norm 1."""

    @property
    def content_hash(self) -> bytes:
        """Of the picture's bytes."""

    @property
    def reference_hash(self) -> bytes | None:
        """Of what the row said of its picture."""


Row = TypeVar("Row", bound=NewRow)


@dataclass(frozen=True)
class NewRowWriter:
    """Writes one collection's new rows over one connection; `new_row_writer` makes it.

    Attributes:
        names: Of the key's columns.
        formats: Of their types.
        count_new: Counts keys that are new, asked with keys_0, keys_1, … for the columns.
        copy: The COPY.
    """

    connection: Connection
    names: Sequence[str]
    formats: Sequence[KeyFormat]
    count_new: sql.Composed
    copy: sql.Composed

    def write(self, rows: Sequence[NewRow], precision: str) -> bool:
        """Write rows that are all new, within the caller's transaction; False, and nothing is written, where one is not.

        Raises:
            psycopg.Error: As an INSERT does, but for a key that is there.
        """
        if len(rows) < FEWEST_ROWS or not _have_hashes(rows):
            return False
        try:
            ordered = self._in_key_order(rows)
            keys = [
                [each.encode(row.key[name]) for row in ordered]
                for name, each in zip(self.names, self.formats, strict=True)
            ]
        except NO_VALUE:
            return False
        values = {
            f"keys_{number}": each.array(column)
            for number, (each, column) in enumerate(zip(self.formats, keys, strict=True))
        }
        found = self.connection.execute(self.count_new, values, prepare=False).fetchone()
        if found is None or found[0] != len(rows):
            return False
        try:
            with self.connection.transaction():
                self._copy_in(ordered, keys, precision)
        except psycopg.errors.UniqueViolation:
            # Twice among these, or another writer came between, whose row may be older or newer.
            log.info("a key of %d is there already; writing them by an upsert", len(rows))
            return False
        return True

    def _in_key_order(self, rows: Sequence[Row]) -> list[Row]:
        """In the order of the upsert, so that two writers never wait for each other crosswise."""
        if len(self.names) == 1:
            name = self.names[0]
            return sorted(rows, key=lambda row: row.key[name])
        return sorted(rows, key=lambda row: tuple(row.key[name] for name in self.names))

    def _copy_in(self, rows: Sequence[NewRow], keys: Sequence[Sequence[bytes]], precision: str) -> None:
        with self.connection.cursor().copy(self.copy) as copy:
            copy.write(COPY_HEADER)
            for start in range(0, len(rows), ROWS_AT_A_TIME):
                part = slice(start, start + ROWS_AT_A_TIME)
                pieces = encode_rows(
                    [column[part] for column in keys],
                    np.stack([row.embedding for row in rows[part]], dtype=np.float16, casting="same_kind"),
                    [row.content_hash for row in rows[part]],
                    [row.reference_hash or b"" for row in rows[part]],
                    [row.version for row in rows[part]],
                    precision,
                )
                for piece in pieces:
                    copy.write(piece)
            copy.write(COPY_END)


def new_row_writer(
    connection: Connection, collection: Collection, parts: Mapping[str, sql.Composable]
) -> NewRowWriter | None:
    """Return what writes a collection's new rows; None where all are left to the upsert.

    Those are collections with keys of other types than KEY_FORMATS', whose order Python does not know, and partitioned embedding
    tables, which COPY fills partition by partition.

    Args:
        parts: The collection's `{parts}`, bindable.
    """
    formats = [KEY_FORMATS[name] for name in collection.key_types if name in KEY_FORMATS]
    is_partitioned = collection.partitions > 0 or collection.partition_by is not None
    if len(formats) < len(collection.key_types) or collection.has_other_key_types or is_partitioned:
        return None
    table = sql.Identifier("imgvec", collection.embedding_table)
    count_new = render(
        "collection/count_new.sql",
        **{
            **parts,
            **bindable(
                {
                    "w_key": collection.key_sql.json("w"),
                    "embedding_table_name": sql.Literal(table.as_string(None)),
                }
            ),
        },
        key_lists=sql.SQL(", ").join(
            sql.SQL("unnest({}::{}[])").format(
                sql.Placeholder(f"keys_{number}", format=PyFormat.BINARY), sql.SQL(name)
            )
            for number, name in enumerate(collection.key_types)
        ),
    )
    copy = render("collection/copy_rows.sql", **collection.key_sql.parts(), target=table)
    return NewRowWriter(connection, list(collection.key_columns), formats, count_new, copy)


def _have_hashes(rows: Sequence[NewRow]) -> bool:
    """Whether all hashes are there and as long as the first row's: rows of other lengths are encoded apart, out of key order."""
    lengths = {(len(row.content_hash), len(row.reference_hash or b"")) for row in rows}
    return len(lengths) == 1 and rows[0].reference_hash is not None
