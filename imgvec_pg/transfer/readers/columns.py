"""Which columns of a file hold what."""

from collections.abc import Sequence
from dataclasses import dataclass

from imgvec_pg.errors import UsageError


@dataclass(frozen=True)
class ColumnNames:
    """What a person, or the collection, says of a file's columns.

    Attributes:
        keys: The file's columns that rows are found by, in the order of the source's columns.
        vector: The file's column of vectors; None for the one that looks like it.
        is_guessed: Nobody named `keys`: they are the key columns of the source.
    """

    keys: Sequence[str]
    vector: str | None = None
    is_guessed: bool = True


def require_columns(present: Sequence[str], wanted: Sequence[str], what: str) -> None:
    """Refuse a file without the columns that rows are found by.

    Raises:
        UsageError: One is missing.
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        raise UsageError(
            f'{what} has no column "{missing[0]}"; there are: {", ".join(present)}. Say which one holds the key: '
            f"--key-column {missing[0]}=COLUMN, or which tells rows apart otherwise: --match SOURCE_COLUMN=COLUMN"
        )
