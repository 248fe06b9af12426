"""Models that cannot do what is asked of them, told before any row is touched."""

from pathlib import Path

import psycopg
import pytest

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.errors import UsageError
from imgvec_pg.store.spec import CollectionSpec


def test_model_input(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pickle.pt").write_bytes(b"x")
    (tmp_path / "corrupt.safetensors").write_bytes(b"x" * 100)
    with connect(database) as connection:
        connection.execute(
            "CREATE TABLE photo (id integer PRIMARY KEY, content bytea); INSERT INTO photo VALUES (1, 'x')"
        )
        with pytest.raises(UsageError, match="gives 4,001 dimensions; pgvector indexes at most 4,000"):
            CollectionSpec("wide", "photo", ["content"], "ours", 4001, False)
        create = ["collection", "create", "likeness", "--source", "photo", "--image", "content"]
        assert run(cli, [*create, "--model", "timm/resnet50.a1_in1k", "--dsn", database]) == 0
        for arguments, code, message in (
            (["search", "red shoes"], 2, "has no text tower, so words cannot be searched for"),
            (["backfill", "--weights", f"{tmp_path}/pickle.pt"], 1, "is a pickle, which can run any code"),
            (
                ["backfill", "--weights", f"{tmp_path}/corrupt.safetensors"],
                1,
                "is corrupt or no safetensors file",
            ),
            (["backfill", "--weights", f"{tmp_path}/nothing.safetensors"], 2, "does not exist"),
            (["backfill", "--device", "cuda"], 1, "use --device cpu"),
            (["backfill", "--batch-size", "0.5"], 2, "is not a valid"),
            (
                ["collection", "create", "x", *create[3:], "--model", "timm/resnet50.none"],
                2,
                "the nearest names are timm/resnet50.",
            ),
        ):
            assert run(cli, [*arguments, "--dsn", database]) == code
            assert message in capsys.readouterr().err
        counts = (
            "SELECT (SELECT count(*) FROM imgvec.failure), (SELECT sum(attempts) FROM imgvec.job),"
            " (SELECT count(*) FROM imgvec.collection)"
        )
        assert connection.execute(counts).fetchone() == (0, 0, 1)
        with pytest.raises(psycopg.Error, match="has no text tower"):
            connection.execute("SELECT imgvec.embed_text('likeness', 'red')")
