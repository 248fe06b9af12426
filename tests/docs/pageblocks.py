"""Code blocks and commands of a Markdown page, in the order of reading."""

import re
from dataclasses import dataclass
from pathlib import Path

FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(imgvec [^`]+)`")
# A description of commands, not one to type.
PATTERN = re.compile(r"[…|]")


@dataclass(frozen=True)
class Block:
    """A fenced block; language is "" for shell and drawings."""

    language: str
    text: str


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks."""
    return [Block(found["language"], found["text"]) for found in FENCED.finditer(page.read_text())]


def read_commands(page: Path) -> list[str]:
    """Return the commands between lines of prose, such as `imgvec doctor`, each once."""
    prose = FENCED.sub("", page.read_text()).replace("\\|", "|")
    return list(dict.fromkeys(span for span in SPAN.findall(prose) if not PATTERN.search(span)))


def shell_commands(block: Block) -> list[str]:
    """Return the commands of a shell block, continued lines joined, comments left out."""
    joined = block.text.replace("\\\n", " ")
    lines = [line.split("  #")[0].strip() for line in joined.splitlines()]
    return [" ".join(line.split()) for line in lines if line]
