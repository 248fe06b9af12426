from pathlib import Path

from imgvec_pg.demo.pictures import ARCHIVE_FILE, load_images, read_manifest, unpack_pictures


def test_manifest_names_at_least_1500_different_pictures() -> None:
    pictures = read_manifest()
    assert len(pictures) >= 1500
    assert len({p.file for p in pictures}) == len({p.name for p in pictures}) == len(pictures)
    assert all(p.category and p.kind for p in pictures)


def test_archive_stays_below_8_mb() -> None:
    assert ARCHIVE_FILE.stat().st_size < 8_000_000


def test_unpacking_writes_real_files_and_keeps_those_already_there(tmp_path: Path) -> None:
    first = unpack_pictures(tmp_path / "shop", limit=3)
    first[0][1].write_bytes(b"changed by hand")
    again = unpack_pictures(tmp_path / "shop", limit=3)
    assert again == first
    assert first[0][1].read_bytes() == b"changed by hand"
    assert sorted(path.name for path in (tmp_path / "shop").iterdir()) == sorted(p.file for p, _ in first)


def test_pictures_are_rgb_on_white() -> None:
    (image,) = load_images([next(p for p in read_manifest() if p.name == "red apple")])
    assert (image.mode, image.size) == ("RGB", (128, 128))
    assert image.getpixel((0, 0)) == (255, 255, 255)
