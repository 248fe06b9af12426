"""Pictures that are bad in what they say of their pixels: the stated outcome for each, and its neighbours embedded."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from golden import TIFF_ENVIRONMENT, photograph
from goldenanimations import CLEAR_INDEX, Placed, gif
from goldenhdr import encode_light, scene
from goldenpngs import chunk
from goldenpngs import encode as encode_png
from goldenprofiles import by_pillow, iccp
from goldentiffs import encode as encode_tiff
from iccprofile import cmyk_profile, gamma_curve, rgb_profile

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding import sandbox
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.sandbox import DecodingPool, decode_sandboxed

EMBEDDED = "embedded"


@dataclass(frozen=True)
class Bad:
    """A picture, what becomes of it, and what its failure says."""

    name: str
    given: bytes | Callable[[], bytes]
    code: str = EMBEDDED
    says: str = ""
    notes: tuple[str, ...] = ()

    @property
    def content(self) -> bytes:
        """What is given, or makes it: no process that only collects the tests shall wait for what takes long."""
        return self.given() if callable(self.given) else self.given


@pytest.fixture(autouse=True)
def own_children(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in TIFF_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    pool = DecodingPool(1)
    monkeypatch.setattr(sandbox, "_pool", pool)
    yield
    pool.close()


def many_bands() -> bytes:
    """A TIFF that claims 65,535 bands."""
    tags = [
        *((256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)),
        *((277, 3, 1, 65535), (278, 3, 1, 8), (279, 4, 1, 64)),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + struct.pack("<H", len(tags)) + entries + bytes(4)


@cache
def profile_bomb() -> bytes:
    return encode_png(photograph("chelsea"), 8, iccp(bytes(300_000_000)))


def bad_pictures() -> list[Bad]:
    source = photograph("chelsea")
    grey = source[..., 1]
    light = scene("coffee", 0)
    absurd = (encode_light(light * 10_000 / light.max(), 16, 1) * 65535).astype(np.uint16)
    empty = [Placed(np.full((40, 60), CLEAR_INDEX, np.uint8))] * 50
    huge_table = bytearray(rgb_profile("Display P3", gamma_curve(2.2)))
    at = huge_table.index(b"curv")
    huge_table[at + 8 : at + 12] = struct.pack(">I", 2**32 - 1)
    ignored = ("profile_ignored",)
    return [
        Bad("profile of another colour space", encode_png(source, 8, iccp(cmyk_profile())), notes=ignored),
        Bad("profile bomb", profile_bomb, notes=ignored),
        Bad(
            "profile with a curve of 4 thousand million points",
            encode_png(source, 8, iccp(bytes(huge_table))),
            notes=ignored,
        ),
        Bad(
            "JPEG with a profile of nonsense",
            by_pillow(source, "JPEG", icc_profile=b"\xff" * 900),
            notes=ignored,
        ),
        Bad("16 bits that are really 8", encode_tiff(grey.astype(np.uint16))),
        Bad("all NaN", encode_tiff(np.full((60, 40), np.nan, np.float32)), "truncated", "finite"),
        Bad("all infinite", encode_tiff(np.full((60, 40), -np.inf, np.float32)), "truncated", "finite"),
        Bad("negative floats", encode_tiff((grey * -0.37 - 5).astype(np.float32))),
        Bad("all zero", encode_tiff(np.zeros((60, 40), np.uint16)), notes=("blank",)),
        Bad("absurd luminance", encode_png(absurd, 16, chunk(b"cICP", bytes([9, 16, 0, 1])))),
        Bad("primaries that are no colours", encode_png(source, 8, chunk(b"cHRM", bytes(32)))),
        Bad("primaries on a line", encode_png(source, 8, chunk(b"cHRM", struct.pack(">8I", *[30_000] * 8)))),
        Bad("gamma of 0", encode_png(source, 8, chunk(b"gAMA", bytes(4)))),
        Bad("an animation whose every frame is empty", gif((40, 60), empty, True), notes=("blank",)),
    ]


def outcome(content: bytes) -> str:
    try:
        decode_sandboxed(content)
    except ImageError as error:
        return error.code
    return EMBEDDED


@pytest.mark.parametrize("bad", bad_pictures(), ids=lambda bad: bad.name)
def test_a_bad_picture_has_its_stated_outcome_in_the_sandbox(bad: Bad) -> None:
    if bad.code == EMBEDDED:
        here = decode_image(bad.content)
        assert here.info["notes"] == bad.notes
        assert decode_sandboxed(bad.content).tobytes() == here.tobytes()
        return
    with pytest.raises(ImageError) as caught:
        decode_sandboxed(bad.content)
    assert (caught.value.code, caught.value.transient) == (bad.code, False)
    assert bad.says in str(caught.value)


def test_a_tiff_that_claims_65535_bands_and_has_bytes_for_one_is_damaged() -> None:
    assert outcome(many_bands()) == "truncated"


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}], ids=str
)
def test_a_jpeg_that_lacks_pixels_is_truncated_though_one_that_lacks_its_end_is_not(
    options: dict[str, int],
) -> None:
    whole = by_pillow(photograph("astronaut"), "JPEG", quality=90, **options)
    assert [outcome(whole[:-missing]) for missing in (1, 2)] == [EMBEDDED] * 2
    for missing in (3, 4, 5, 8, 40, 400, len(whole) // 2, len(whole) - 700):
        assert outcome(whole[:-missing]) == "truncated", missing
    for at in restart_markers(whole):
        assert outcome(whole[:at]) == "truncated", at
        assert outcome(whole[: at + 2]) == "truncated", at


def restart_markers(jpeg: bytes) -> list[int]:
    return [at for at in range(len(jpeg) - 1) if jpeg[at] == 0xFF and 0xD0 <= jpeg[at + 1] <= 0xD7][::5]


def test_damaged_profiles_cost_neither_the_picture_nor_the_child() -> None:
    chance = random.Random(7)
    source = np.ascontiguousarray(photograph("chelsea")[:40, :40])
    pids = None
    for whole in (rgb_profile("ProPhoto", gamma_curve(1.8)), cmyk_profile()[:9000]):
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(chance.choice((1, 4, 40))):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            assert decode_sandboxed(encode_png(source, 8, iccp(bytes(damaged)))).size == (40, 40)
            pids = pids or sandbox.shared_pool().pids()
    assert sandbox.shared_pool().pids() == pids


def test_a_large_compressed_text_is_never_decompressed() -> None:
    bomb = chunk(b"zTXt", b"XMP\0\0" + zlib.compress(bytes(200_000_000)))
    data = encode_png(photograph("chelsea"), 8, bomb)
    assert decode_sandboxed(data).tobytes() == photograph("chelsea").tobytes()


def test_neighbours_of_bad_pictures_are_embedded_and_failures_say_why(
    database: str, connection: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = bad_pictures()
    connection.execute("CREATE TABLE scans (name text PRIMARY KEY, content bytea)")
    good = encode_png(photograph("coffee"), 8)
    for bad in rows:
        connection.execute(
            "INSERT INTO scans VALUES (%s, %s), (%s, %s)", [bad.name, bad.content, f"beside {bad.name}", good]
        )
    collection = [
        "collection",
        "create",
        "scan",
        "--source",
        "scans",
        "--image",
        "content",
        "--model",
        "test",
    ]
    assert run(cli, [*collection, "--dsn", database]) == 0
    assert run(cli, ["backfill", "scan", "--dsn", database]) == 4
    embedded = {name for (name,) in connection.execute("SELECT name FROM imgvec.scan_embedding")}
    sound = {bad.name for bad in rows if bad.code == EMBEDDED}
    assert embedded == sound | {f"beside {bad.name}" for bad in rows}
    capsys.readouterr()
    assert run(cli, ["failures", "scan", "--dsn", database]) == 0
    listed = capsys.readouterr().out
    assert listed.count("truncated") >= 2
    assert "finite" in listed
