"""`imgvec duplicates --pixels`: near pairs whose pictures have the same pixels are told from others."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from photostore import X, make_collection
from PIL import Image

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photos(connection: Connection, tmp_path: Path) -> Collection:
    """Give one picture as PNG, another PNG, WebP, JPEG with loss, turned by metadata; another; and one that changed since."""
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id int PRIMARY KEY, file text)")
    collection = make_collection(connection, root=str(tmp_path))
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    changed = image.copy()
    changed.putpixel((3, 3), (0, 0, 0))
    turned = Image.Exif()
    turned[0x0112] = 3
    files = [
        encoded(image, "PNG"),
        encoded(image, "PNG", compress_level=1),
        encoded(image, "WEBP", lossless=True),
        encoded(image, "JPEG"),
        encoded(image.transpose(Image.Transpose.ROTATE_180), "PNG", exif=turned),
        encoded(changed, "PNG"),
        encoded(image, "TIFF"),
    ]
    for key, data in enumerate(files, 1):
        (tmp_path / f"{key}").write_bytes(data)
        connection.execute("INSERT INTO shop.photo VALUES (%s, %s)", [key, str(key)])
        connection.execute(
            "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
            " VALUES (%s, %s, 1, %s, 'x')",
            [key, str(list(X)), hashlib.sha256(data if key < 7 else b"before").digest()],
        )
    return collection


def test_the_same_pixels_are_told_from_near_ones(
    connection: Connection,
    photos: Collection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMGVEC_DSN", database)
    same = "SELECT id, other_id FROM imgvec.duplicate_photo_test WHERE why = 'same pixels' ORDER BY 1, 2"
    assert run(cli, ["duplicates", "photo_test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pixels"] is None
    assert connection.execute(same).fetchall() == []
    assert run(cli, ["duplicates", "photo_test", "--pixels"]) == 0
    said = capsys.readouterr().out
    assert (
        "the same pixels: 6 pairs more, of 7 pictures opened; 1 could not be read, or are not what was embedded"
        in said
    )
    wanted = [(1, 2), (1, 3), (1, 5), (2, 3), (2, 5), (3, 5)]
    assert connection.execute(same).fetchall() == wanted
    # A run that follows keeps what it need not compare again.
    assert run(cli, ["duplicates", "photo_test"]) == 0
    assert connection.execute(same).fetchall() == wanted
