"""The helpers of these tests: an example that no longer runs fails in one line that names page and line."""

import subprocess
from pathlib import Path

import pytest
from pageblocks import example, read_blocks, run_python

PAGE = "# Page\n\n```sql\nSELECT 1;\n```\n\nText.\n\n```python\nright = 1\nprint(wrong)\n```\n"


def test_blocks_know_page_and_line(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    first, second = read_blocks(tmp_path / "page.md")
    assert (first.language, first.text) == ("sql", "SELECT 1;\n")
    assert first.place == f"{tmp_path / 'page.md'}:4"
    assert second.place == f"{tmp_path / 'page.md'}:10"


def test_a_page_of_the_project_is_named_by_its_path_in_the_checkout() -> None:
    assert read_blocks(Path(__file__).parents[2] / "docs" / "quickstart.md")[0].place.startswith(
        "docs/quickstart.md:"
    )


def told(page: Path, position: int, error: Exception | None = None) -> str:
    """Return what pytest prints for an example that fails."""
    block = read_blocks(page)[position]

    def fail() -> None:
        if error is not None:
            with example(block):
                raise error
        run_python(block, {})

    with pytest.raises(pytest.fail.Exception) as failed:
        fail()
    assert failed.value.pytrace is False
    return str(failed.value.msg)


def test_an_example_that_no_longer_runs_fails_in_one_line_with_its_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    runs = "this example no longer runs"
    assert (
        told(page, 0, ValueError("syntax error\nat 1")) == f"{page}:4: {runs}: ValueError: syntax error at 1"
    )
    assert told(page, 1) == f"{page}:11: {runs}: NameError: name 'wrong' is not defined"
    failed = subprocess.CalledProcessError(2, "imgvec", stderr="Usage\nno such option\n")
    assert told(page, 0, failed).endswith("exit status 2.: no such option")
