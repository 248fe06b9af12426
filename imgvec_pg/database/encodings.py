"""Databases in other encodings than UTF-8: sessions speak UTF-8, and PostgreSQL converts what the database can hold.

SQL_ASCII converts nothing: its texts are taken to be UTF-8, and PostgreSQL refuses to send what is not.
"""

import codecs
import json
from typing import Any

import psycopg
from psycopg.types.json import set_json_dumps

CODECS = {
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    "UHC": "cp949",
    "WIN": "cp1251",
    "ALT": "cp866",
    "ABC": "cp1258",
    "WIN866": "cp866",
    "WIN874": "cp874",
    "ISO_8859_5": "iso8859-5",
    "ISO_8859_6": "iso8859-6",
    "ISO_8859_7": "iso8859-7",
    "ISO_8859_8": "iso8859-8",
    "EUC_CN": "gb2312",
    "EUC_JIS_2004": "euc_jis_2004",
}
"""Python's names where they are others. PostgreSQL 18, table "PostgreSQL Character Sets"."""


def server_encoding(connection: psycopg.Connection[Any]) -> str:
    """Return PostgreSQL's name of the database's encoding."""
    return connection.info.parameter_status("server_encoding") or "UTF8"


def database_codec(connection: psycopg.Connection[Any]) -> str:
    """Return Python's name of the database's encoding; where it has none, ASCII, which is part of each."""
    name = server_encoding(connection)
    if name in ("UTF8", "SQL_ASCII"):
        return "utf-8"
    try:
        return codecs.lookup(CODECS.get(name) or name.replace("WIN", "cp")).name
    except LookupError:
        return "ascii"


def can_hold(connection: psycopg.Connection[Any], text: str) -> bool:
    """Whether the database's encoding has all letters of a text; PostgreSQL refuses the statement where not."""
    try:
        text.encode(database_codec(connection))
    except UnicodeEncodeError:
        return False
    return True


def as_held(connection: psycopg.Connection[Any], text: str) -> str:
    """Return a text with backslash escapes for what the database's encoding lacks."""
    if can_hold(connection, text):
        return text
    codec = database_codec(connection)
    return text.encode(codec, "backslashreplace").decode(codec)


def adapt_text(connection: psycopg.Connection[Any]) -> None:
    """Have JSON go to a database in another encoding in its own letters.

    PostgreSQL takes an escape such as \\u7dd1 in jsonb only where it can convert it: never in SQL_ASCII.
    """
    if server_encoding(connection) != "UTF8":
        set_json_dumps(dump_json, connection)


def dump_json(value: Any) -> bytes:  # noqa: ANN401
    """Return a value as JSON in its own letters."""
    return json.dumps(value, ensure_ascii=False).encode()
