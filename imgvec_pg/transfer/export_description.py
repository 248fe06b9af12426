"""_imgvec.json: what an export says of itself, so that an import can tell whether its vectors belong here."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imgvec_pg.errors import UsageError

FILE_NAME = "_imgvec.json"
"""Readers of a folder of parquet files leave out what begins with "_" or "."."""
FORMAT_VERSION = 1
MAP_COLUMNS = {"x": "real", "y": "real", "cluster": "text"}


@dataclass(frozen=True)
class ExportDescription:
    """One export.

    Attributes:
        is_finished: False while it is being written, or where it was cut off.
        layout: "parquet", "npy" or "lance".
        key: The source's key columns and their types.
        vector_column: Name of the column with the vectors; of layout npy they are in files of their own.
        vector_type: "float16" or "float32".
        fingerprint: Of the model, as `imgvec model list` shows it; None where no worker had stamped it.
        golden: What the model makes of fixed pictures and texts, by kind ("image", "text"): lists of vectors.
        rows: Rows of all parts, once it is finished.
        columns: Columns that stand beside the vectors: of the source, and of the map where `has_map`.
        has_map: The last of them are MAP_COLUMNS: each picture's place on the map and its cluster's name; NULL for one not on it.
        map_moment: When that map was made, microseconds since 1970.
    """

    collection: str
    source: str
    layout: str
    key: Mapping[str, str]
    vector_column: str
    vector_type: str
    dimensions: int
    model: str
    fingerprint: str | None
    rendering: int
    image_columns: tuple[str, ...]
    watch_columns: tuple[str, ...]
    columns: tuple[str, ...] = ()
    golden: Mapping[str, list[list[float]]] = field(default_factory=dict)
    is_finished: bool = False
    rows: int = 0
    format_version: int = FORMAT_VERSION
    has_map: bool = False
    map_moment: str | None = None
    norm: str = "each vector has the L2 norm 1; distance is the cosine distance"

    @property
    def vector_bytes(self) -> int:
        """Bytes of a vector in the files."""
        return self.dimensions * np.dtype(self.vector_type).itemsize

    def write(self, directory: Path) -> None:
        """Write it into an export's folder, whole or not at all."""
        partial = directory / f".{FILE_NAME}.partial"
        with partial.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(directory / FILE_NAME)


def read_description(directory: Path) -> ExportDescription | None:
    """Return what an export's folder says of itself; None where the folder is no export of imgvec's.

    Raises:
        UsageError: The file is damaged, or of a newer release.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = values["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise UsageError(
                f"{path} is of format {version}, written by a newer release; this one reads up to {FORMAT_VERSION}: upgrade "
                "imgvec-pg"
            )
        for name in ("image_columns", "watch_columns", "columns"):
            values[name] = tuple(values[name])
        return ExportDescription(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path} is not what imgvec export writes ({type(error).__name__}: {error}); restore it, or take it away and say "
            "which columns hold what: --key-column, --vector-column"
        ) from error
