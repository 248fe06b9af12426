import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from imgvec_pg.errors import ImageError, PicturesAwayError, UsageError
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.fetching.folders import explain_absence
from imgvec_pg.images.reference import ImageReference, url_scheme

AS_USER = pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "2024" / "may").mkdir(parents=True)
    (folder / "2024" / "may" / "dog.jpg").write_bytes(b"dog")
    (folder / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "photos-private").mkdir()
    (tmp_path / "photos-private" / "x.jpg").write_bytes(b"private")
    return folder


def fetch(path: str, root: Path | None, **options: int) -> bytes:
    return fetch_bytes(ImageReference(path=path), root, **options)


def refusal(path: str, root: Path | None, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        fetch(path, root, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def test_reference_takes_exactly_one_of_path_and_content() -> None:
    with pytest.raises(UsageError, match="not by both"):
        ImageReference(path="a.jpg", content=b"a")
    with pytest.raises(ImageError, match="NULL") as caught:
        ImageReference()
    assert caught.value.code == "empty"


@pytest.mark.parametrize(
    "url",
    [
        "http://h/a.jpg",
        "HTTPS://h/a.jpg",
        "file:///etc/passwd",
        "s3://b/k",
        "data:image/png;base64,AA",
        "x+y://z",
    ],
)
def test_no_url_is_fetched_unless_it_is_allowed(root: Path, url: str) -> None:
    error = refusal(url, root)
    assert (error.code, error.transient) == ("scheme_denied", False)


@pytest.mark.parametrize("path", ["a.jpg", "/a/b.jpg", "a:b.jpg", "C:/a.jpg", "1://a", "a b://c", "", "://"])
def test_paths_of_files_are_not_taken_for_urls(path: str) -> None:
    assert url_scheme(path) is None


def test_content_passes_through() -> None:
    assert fetch_bytes(ImageReference(content=b"bytes"), None) == b"bytes"


def test_content_that_is_empty_or_too_large_is_refused() -> None:
    for content, code in [(b"", "empty"), (b"12345", "too_large")]:
        with pytest.raises(ImageError) as caught:
            fetch_bytes(ImageReference(content=content), None, max_image_bytes=4)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("cat.jpg", b"cat"),
        ("./2024//may/dog.jpg", b"dog"),
        ("2024/../cat.jpg", b"cat"),
        ("2024/may/../../cat.jpg", b"cat"),
    ],
)
def test_relative_path_is_read_below_the_root(root: Path, path: str, content: bytes) -> None:
    assert fetch(path, root) == content


def test_absolute_path_inside_the_root_is_read(root: Path) -> None:
    assert fetch(str(root / "2024" / "may" / "dog.jpg"), root) == b"dog"


def test_root_may_be_a_symlink_and_paths_name_either_side(root: Path) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)
    assert fetch("cat.jpg", alias) == b"cat"
    assert fetch(str(alias / "cat.jpg"), alias) == b"cat"
    assert fetch(str(root / "cat.jpg"), alias) == b"cat"


def test_whole_file_system_may_be_the_root(root: Path) -> None:
    assert fetch(str(root / "cat.jpg"), Path("/")) == b"cat"


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "2024/../../secret",
        "../photos/cat.jpg",
        "/etc/passwd",
        "{root}/../secret",
        "{root}-private/x.jpg",
        "cat.jpg\0.png",
        "",
        "\ud800.jpg",
        "x" * 300,
        "/".join(["."] * 3 + ["2024/may/../.."] * 100 + ["../" * 200]),
    ],
)
def test_path_that_leaves_the_root_is_denied(root: Path, path: str) -> None:
    error = refusal(path.format(root=root), root)
    assert (error.code, error.transient) == ("path_denied", False)
    assert len(str(error)) < 400


def test_no_path_is_read_without_a_root(root: Path) -> None:
    assert refusal(str(root / "cat.jpg"), None).code == "path_denied"


def test_symlinks_that_stay_inside_are_followed(root: Path) -> None:
    (root / "relative.jpg").symlink_to("2024/may/dog.jpg")
    (root / "absolute.jpg").symlink_to(root / "cat.jpg")
    (root / "spring").symlink_to("2024/may")
    (root / "2024" / "up").symlink_to("..")
    assert fetch("relative.jpg", root) == b"dog"
    assert fetch("absolute.jpg", root) == b"cat"
    assert fetch("spring/dog.jpg", root) == b"dog"
    assert fetch("2024/up/2024/up/cat.jpg", root) == b"cat"
    # As the kernel does it: `..` is the parent of where the link leads, not of where it lies.
    assert fetch("spring/../may/dog.jpg", root) == b"dog"


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "2024/../../secret", "/", ".."])
def test_symlinks_that_lead_out_are_denied(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    for path in ("link", "link/secret", "2024/../link"):
        assert refusal(path, root).code == "path_denied"


@pytest.mark.parametrize("swapped", ["cat.jpg", "2024"])
def test_a_link_that_takes_the_place_of_what_was_looked_at_is_denied(
    root: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """The file, or a folder on the way, becomes a link out between the look and the opening."""
    real = os.open
    (root.parent / "out" / "may").mkdir(parents=True)
    (root.parent / "out" / "may" / "dog.jpg").write_bytes(b"secret")
    done = []

    def swapping(path: str, *arguments: object, **options: object) -> int:
        if path == swapped and not done:
            done.append((root / swapped).rename(root.parent / "moved"))
            (root / swapped).symlink_to(root.parent / ("secret" if swapped == "cat.jpg" else "out"))
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swapping)
    error = refusal("cat.jpg" if swapped == "cat.jpg" else "2024/may/dog.jpg", root)
    assert done
    assert error.code == "path_denied", str(error)


def test_symlink_loop_is_denied(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert refusal("a", root).code == "path_denied"


@pytest.mark.parametrize("path", ["none.jpg", "2024/none.jpg", "none/none.jpg", "cat.jpg/x"])
def test_missing_file_may_come_later(root: Path, path: str) -> None:
    error = refusal(path, root)
    assert (error.code, error.transient) == ("not_found", True)


def test_dangling_symlink_is_a_missing_file(root: Path) -> None:
    (root / "link.jpg").symlink_to("later.jpg")
    assert refusal("link.jpg", root).code == "not_found"


def test_missing_root_is_told_apart_from_a_missing_file(root: Path) -> None:
    error = refusal("cat.jpg", root / "unmounted")
    assert isinstance(error, PicturesAwayError)
    assert error.root == root / "unmounted"
    assert f"the root folder {root / 'unmounted'} cannot be opened (No such file" in str(error)
    assert not isinstance(refusal("none.jpg", root), PicturesAwayError)


def test_an_empty_root_is_absent_only_where_it_holds_all_pictures(tmp_path: Path) -> None:
    assert explain_absence(tmp_path, may_be_empty=True) is None
    assert f"{tmp_path} is empty: mount it" in str(explain_absence(tmp_path, may_be_empty=False))
    (tmp_path / "a.png").touch()
    assert explain_absence(tmp_path, may_be_empty=False) is None
    assert "(Not a directory)" in str(explain_absence(tmp_path / "a.png", may_be_empty=True))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, make_socket], ids=["fifo", "folder", "socket"])
def test_what_is_no_file_is_refused_at_once(root: Path, make: Callable[[Path], None]) -> None:
    make(root / "odd")
    # A pipe that is opened would wait for whoever writes into it.
    assert refusal("odd", root).code == "not_regular_file"


@pytest.mark.parametrize("path", ["a.png/", "a.png/.", "a.png//", "link/"])
def test_a_file_is_no_folder(root: Path, path: str) -> None:
    (root / "a.png").write_bytes(b"x")
    (root / "link").symlink_to("a.png")
    assert refusal(path, root).code == "not_found"


def test_device_is_refused() -> None:
    assert refusal("/dev/zero", Path("/dev")).code == "not_regular_file"


def test_empty_file_is_refused(root: Path) -> None:
    (root / "empty.jpg").touch()
    assert refusal("empty.jpg", root).code == "empty"


def test_file_beyond_the_limit_is_refused_unread(root: Path) -> None:
    with (root / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    assert refusal("huge.jpg", root).code == "too_large"
    assert fetch("cat.jpg", root, max_image_bytes=3) == b"cat"
    assert refusal("cat.jpg", root, max_image_bytes=2).code == "too_large"


def test_file_that_tells_no_size_is_still_limited() -> None:
    assert fetch("self/status", Path("/proc")).startswith(b"Name:")
    assert refusal("self/status", Path("/proc"), max_image_bytes=10).code == "too_large"


@AS_USER
def test_unreadable_file_is_a_lasting_failure(root: Path) -> None:
    (root / "cat.jpg").chmod(0)
    error = refusal("cat.jpg", root)
    assert (error.code, error.transient) == ("fetch_failed", False)


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    before = sorted(Path("/proc/self/fd").iterdir())
    for path in ("cat.jpg", "2024/may/dog.jpg", "2024/may/none", "2024/../../x", "loop", "2024/may"):
        try:
            fetch(path, root)
        except ImageError:
            continue
    assert sorted(Path("/proc/self/fd").iterdir()) == before
