"""The demo's example queries: SQL files whose psql variables are filled in, run and shown as the same text."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql

# :'words' and :id, but not the cast in distance::numeric.
VARIABLE = re.compile(r"(?<![:\w]):(?:'(\w+)'|(\w+))")


@dataclass(frozen=True)
class DemoQuery:
    """One statement of the demo.

    Attributes:
        title: What is shown, in two or three words.
        saying: The question as a person would ask it.
        file: The statement, in sql/demo.
        values: Its variables.
    """

    title: str
    saying: str
    file: str
    values: Mapping[str, object] = field(default_factory=dict)

    def statement(self) -> str:
        """Return the SQL as psql would take it: values as literals."""
        text = load_sql(f"demo/{self.file}").as_string(None)
        body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))

        def literal(found: re.Match[str]) -> str:
            return sql.Literal(self.values[found[1] or found[2]]).as_string(None).strip()

        return VARIABLE.sub(literal, body).strip()

    def script(self) -> str:
        """Return what psql needs to run it alone."""
        heading = self.saying.replace("'", "''")
        return f"\\echo '{heading}'\n{self.statement()}"


@dataclass(frozen=True)
class StatementResult:
    """What PostgreSQL gave back, and how long it took."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]
    seconds: float


def run_example(connection: Connection, example: DemoQuery) -> StatementResult:
    """Run the statement as it is shown."""
    began = time.perf_counter()
    cursor = connection.execute(sql.SQL(example.statement()))
    rows = cursor.fetchall() if cursor.description else []
    seconds = time.perf_counter() - began
    return StatementResult([column.name for column in cursor.description or ()], rows, seconds)
