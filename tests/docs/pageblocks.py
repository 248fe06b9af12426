"""Code blocks and commands of a Markdown page, in the order of reading."""

import re
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(imgvec [^`]+)`")
# A description of commands, not one to type.
PATTERN = re.compile(r"[…|]")


@dataclass(frozen=True)
class Block:
    """A fenced block; language is "" for shell and drawings."""

    language: str
    text: str
    # "docs/quickstart.md:12", where its first line stands.
    place: str = field(default="", compare=False)


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks."""
    text = page.read_text()
    name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
    return [
        Block(found["language"], found["text"], f"{name}:{text.count(chr(10), 0, found.start('text')) + 1}")
        for found in FENCED.finditer(text)
    ]


@contextmanager
def example(block: Block) -> Iterator[None]:
    """Fail in one line that names page and line when the example inside no longer runs."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or "no message"
        if isinstance(error, subprocess.CalledProcessError) and error.stderr:
            reason += f": {error.stderr.strip().splitlines()[-1]}"
        told = f"{failing_place(block, error)}: this example no longer runs: {type(error).__name__}: {reason}"
        raise pytest.fail.Exception(told, pytrace=False) from None


def failing_place(block: Block, error: Exception) -> str:
    """Return page and line: of the Python line that failed, where `run_python` ran the block, else the block's first."""
    page = block.place.rpartition(":")[0]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == page]
    return f"{page}:{lines[-1]}" if lines else block.place


def run_python(block: Block, namespace: dict[str, object], text: str | None = None) -> None:
    """Run a Python block, or its text as translated for this machine; an error names the page's own line."""
    page, _, line = block.place.rpartition(":")
    code = compile("\n" * (int(line) - 1) + (block.text if text is None else text), page, "exec")
    with example(block):
        exec(code, namespace)  # noqa: S102 - the page's own example


def read_commands(page: Path) -> list[str]:
    """Return the commands between lines of prose, such as `imgvec doctor`, each once."""
    prose = FENCED.sub("", page.read_text()).replace("\\|", "|")
    return list(dict.fromkeys(span for span in SPAN.findall(prose) if not PATTERN.search(span)))


def shell_commands(block: Block) -> list[str]:
    """Return the commands of a shell block, continued lines joined, comments left out."""
    joined = block.text.replace("\\\n", " ")
    lines = [line.split("  #")[0].strip() for line in joined.splitlines()]
    return [" ".join(line.split()) for line in lines if line]
