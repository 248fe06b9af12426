"""Terminal output of `imgvec demo`: steps with their times, SQL, results as tables, commands to paste."""

import io
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from imgvec_pg.demo.examples import DemoQuery, StatementResult
from imgvec_pg.search.formatting import show_safely

INDENT = "   "
MAX_WIDTH = 100


@dataclass
class Step:
    """A step's line; its text may be set to the result."""

    text: str


class Screen:
    """Prints on stdout; colours and spinners on a terminal only.

    Args:
        check: Called before each step; raises when it is time to leave.
    """

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows "?"
        width = min(Console().width, MAX_WIDTH)
        self.console = Console(highlight=False, width=width)

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """Show that something is going on, and how long it took when it is done."""
        self._check()
        step = Step(text)
        began = time.monotonic()
        with self.console.status(f"{text} …"):
            yield step
        self.done(step.text, time.monotonic() - began)

    def done(self, text: str, seconds: float) -> None:
        """Say that a step is done."""
        line = Text.assemble(("  ✓ ", "green"), text)
        line.append(f"{seconds:.1f} s".rjust(max(self.console.width - line.cell_len, 9)), "dim")
        self.console.print(line, soft_wrap=True)

    def paragraph(self, text: str, indent: str = "") -> None:
        """Print text, broken between words only, so that paths stay whole."""
        lines = textwrap.wrap(
            text,
            self.console.width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines:
            self.console.print(Text(line), soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print a line that stands out, after an empty one."""
        self.console.print()
        self.console.print(Text(text, style="bold"))

    def example(self, example: DemoQuery, answer: StatementResult | None = None) -> None:
        """Print a question as a person asks it, as SQL, and its answer."""
        self._check()
        self.paragraph(example.saying, INDENT)
        self.console.print()
        self.sql(example.statement())
        if answer is not None:
            self.console.print()
            self.table(answer)

    def sql(self, statement: str) -> None:
        """Print SQL, in colours on a terminal."""
        colored = Syntax("", "sql", theme="ansi_dark").highlight(statement)
        for line in colored.split():
            line.rstrip()
            self.console.print(Text.assemble(INDENT, line), soft_wrap=True)

    def table(self, answer: StatementResult) -> None:
        """Print an answer, numbers to the right."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for position, name in enumerate(answer.columns):
            is_text = all(isinstance(row[position], str) for row in answer.rows)
            table.add_column(Text(name), justify="left" if is_text else "right")
        for row in answer.rows:
            table.add_row(*(Text(show_safely(value)) for value in row))
        self.console.print(Padding(table, (0, 0, 0, len(INDENT)), expand=False))
        count = f"{len(answer.rows)} {'row' if len(answer.rows) == 1 else 'rows'}"
        self.console.print(Text(f"{INDENT}{count} in {answer.seconds * 1000:.1f} ms", style="dim"))

    def commands(self, lines: Sequence[str]) -> None:
        """Print lines to paste: they are never broken."""
        for line in lines:
            self.console.print(Text("  " + line, style="cyan"), soft_wrap=True)


def program_name() -> str:
    """Return what to type for `imgvec` in this terminal: by its path where it is not the one on PATH."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m imgvec_pg"
    found = shutil.which("imgvec")
    if found is not None and Path(found).resolve() == program.resolve():
        return "imgvec"
    absolute = program.absolute()
    here = Path.cwd()
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))
