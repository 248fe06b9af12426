"""The text of the SQL files themselves."""

from pathlib import Path

import pytest

SQL = Path(__file__).parents[2] / "sql"
FILES = sorted(path.relative_to(SQL).as_posix() for path in SQL.rglob("*.sql"))
# Run in sessions of the library's own alone, which set standard_conforming_strings.
OWN_SESSIONS = (
    "queries/database_default.sql",
    "queries/named_vector_schemas.sql",
    "queries/outside_dependents.sql",
)


@pytest.mark.parametrize("name", FILES)
def test_a_file_can_be_told_in_every_encoding_and_to_every_session(name: str) -> None:
    text = (SQL / name).read_bytes()
    # A database in LATIN1 or SQL_ASCII keeps bodies and comments in its own encoding.
    assert text.isascii()
    # With standard_conforming_strings = off an application's session reads a body's backslash as an escape.
    assert b"\\" not in text or name in OWN_SESSIONS
