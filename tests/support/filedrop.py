"""Files of vectors as others write them, and the command that takes them in."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli


def unit_vectors(rows: int, dimensions: int = 3, seed: int = 5) -> npt.NDArray[np.float32]:
    found = np.random.default_rng(seed).normal(size=(rows, dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def vector_table(
    keys: Sequence[Any], vectors: npt.NDArray[Any], key: str = "id", column: str = "embedding"
) -> pa.Table:
    values = pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(vectors).reshape(-1)), vectors.shape[1]
    )
    return pa.table({key: pa.array(keys), column: values})


def write_vectors(path: Path, keys: Sequence[Any], vectors: npt.NDArray[Any], **names: str) -> Path:
    pq.write_table(vector_table(keys, vectors, **names), path)
    return path


class Imgvec:
    """Runs commands against one database."""

    def __init__(self, dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.dsn = dsn
        self.capsys = capsys
        self.said = ""

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """Run one; its exit code must be this. Returns what it said on both streams."""
        self.capsys.readouterr()
        got = run(cli, [*map(str, arguments), "--dsn", self.dsn])
        captured = self.capsys.readouterr()
        self.said = captured.out + captured.err
        assert got == code, self.said
        assert "Traceback" not in self.said and "unexpected" not in self.said, self.said
        return self.said

    def json(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """Run one with --json and return what it printed."""
        self.capsys.readouterr()
        got = run(cli, [*map(str, arguments), "--json", "--dsn", self.dsn])
        captured = self.capsys.readouterr()
        assert got == code, captured
        found: dict[str, Any] = json.loads(captured.out)
        return found
