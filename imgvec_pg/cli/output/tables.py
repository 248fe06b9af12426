"""Plain tables, the same on a terminal and in a pipe."""

from collections.abc import Sequence

import click
from rich.cells import cell_len


def echo_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns aligned by two spaces, numbers to the right."""
    text = [[" ".join(str("" if cell is None else cell).split()) for cell in row] for row in rows]
    widths = [max(cell_len(line[i]) for line in [list(header), *text]) for i in range(len(header))]
    right = [
        all(line[i].replace(",", "").replace(".", "").lstrip("-").isdigit() for line in text)
        for i in range(len(header))
    ]
    for line in [list(header), *text]:
        cells = [
            " " * (width - cell_len(cell)) + cell if is_right else cell + " " * (width - cell_len(cell))
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())
