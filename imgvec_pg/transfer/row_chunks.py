"""Rows on their way into an export's files, and the columns that they become there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module

if TYPE_CHECKING:
    import pyarrow as pa

CONTENT_HASH, REFERENCE_HASH = "content_hash", "reference_hash"


@dataclass(frozen=True)
class RowChunk:
    """n rows of a collection.

    Attributes:
        keys: For each key column n texts.
        vectors: Shape (n, dimensions), float16 or float32.
        hashes: content_hash and reference_hash; empty bytes for an unknown one.
        columns: For each column of the source n texts, None for NULL.
    """

    keys: Sequence[Sequence[str]]
    vectors: npt.NDArray[Any]
    hashes: tuple[Sequence[bytes], Sequence[bytes]]
    columns: Sequence[Sequence[str | None]]

    def __len__(self) -> int:
        """Return n."""
        return len(self.vectors)


def arrow_type(type_name: str, *, is_key: bool) -> "pa.DataType":
    """Return what a column of PostgreSQL's becomes in an export: text where Arrow has no such; numeric is double but in keys."""
    pa = require_module("pyarrow", "writing an export")
    kinds: dict[str, Any] = {
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp without time zone": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    }
    if type_name == "numeric" and not is_key:
        return pa.float64()
    if is_key and not type_name.endswith("int") and type_name != "integer":
        return pa.string()
    return kinds.get(type_name, pa.string())


def arrow_values(texts: Sequence[str | None], kind: "pa.DataType") -> "pa.Array":
    """Return texts as PostgreSQL prints them as a column of a type."""
    pa = require_module("pyarrow", "writing an export")
    if pa.types.is_boolean(kind):
        return pa.array([None if text is None else text == "t" for text in texts], kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # "0044-03-15 BC" and years beyond 9999 are none of Python's, nor of most readers'.
        texts = [
            None if text is None or text.endswith("BC") or text.find("-") != 4 else text for text in texts
        ]
    return pa.array(texts, pa.string()).cast(kind)


def export_schema(description: ExportDescription, types: Mapping[str, "pa.DataType"]) -> "pa.Schema":
    """Return the columns of an export's files: key, vectors (not of layout npy), hashes, then the source's.

    Vectors have no NULLs and say so: readers then need not look at each of their numbers for one.

    Args:
        types: Arrow types of the columns that stand beside the vectors.
    """
    pa = require_module("pyarrow", "writing an export")
    fields = [pa.field(name, types[name]) for name in description.key]
    if description.layout != "npy":
        number = pa.float16() if description.vector_type == "float16" else pa.float32()
        element = pa.field("element", number, nullable=False)
        fields.append(
            pa.field(description.vector_column, pa.list_(element, description.dimensions), nullable=False)
        )
    fields += [pa.field(CONTENT_HASH, pa.binary()), pa.field(REFERENCE_HASH, pa.binary())]
    fields += [pa.field(name, types[name]) for name in description.columns]
    return pa.schema(fields)


def as_batch(chunk: RowChunk, description: ExportDescription, schema: "pa.Schema") -> "pa.RecordBatch":
    """Return rows as these columns."""
    pa = require_module("pyarrow", "writing an export")
    columns = [
        arrow_values(texts, schema.field(name).type)
        for name, texts in zip(description.key, chunk.keys, strict=True)
    ]
    if description.layout != "npy":
        values = pa.array(chunk.vectors.reshape(-1))
        kind = schema.field(description.vector_column).type
        columns.append(pa.FixedSizeListArray.from_arrays(values, type=kind))
    columns += [pa.array([value or None for value in values], pa.binary()) for values in chunk.hashes]
    columns += [
        arrow_values(texts, schema.field(name).type)
        for name, texts in zip(description.columns, chunk.columns, strict=True)
    ]
    return pa.record_batch(columns, schema=schema)
