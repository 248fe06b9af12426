"""Plain-text tables and the yes/no question, the same on a terminal and in a pipe."""

from collections.abc import Sequence

import click
from rich.cells import cell_len

from imgvec_pg.errors import ImgvecError


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


def confirm(question: str) -> None:
    """Go on if the answer is yes; ctrl-C at the question stops the command as everywhere.

    Raises:
        ImgvecError: The answer is no, or there is nobody to answer.
    """
    try:
        agreed = click.confirm(question)
    except click.Abort as error:
        # click makes one of the end of the input and of ctrl-C.
        if not isinstance(error.__context__, EOFError):
            raise
        click.echo()
        agreed = False
    if not agreed:
        raise ImgvecError("nothing was changed; add --yes to skip the question")
