"""The demo's questions: SQL files whose psql variables are filled in, run and shown as the same text."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sqlfiles import load_sql, render
from imgvec_pg.embedding.catalog import DEMO_NAME

# :'words' and :id, but not the cast in distance::numeric.
VARIABLE = re.compile(r"(?<![:\w]):(?:'(\w+)'|(\w+))")
WORDS = "words"


@dataclass(frozen=True)
class Example:
    """One statement of the demo.

    Attributes:
        title: What is shown, in two or three words.
        saying: The question as a person would ask it.
        file: The statement, in sql/demo.
        words: What :'words' in it is the vector of.
        values: Its other variables.
    """

    title: str
    saying: str
    file: str
    words: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def variable(self) -> str:
        """The psql variable that holds the vector: red_fruit."""
        return re.sub(r"\W+", "_", self.words or "")

    def statement(self) -> str:
        """Return the SQL as psql would take it: values as literals, the vector as a variable of its own."""
        text = load_sql(f"demo/{self.file}").as_string(None)
        body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))

        def literal(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name == WORDS:
                return f":'{self.variable}'"
            return sql.Literal(self.values[name]).as_string(None).strip()

        return VARIABLE.sub(literal, body).strip()

    def script(self) -> str:
        """Return what psql needs to run it alone: the vector out of the cache of texts, then the SQL."""
        heading = self.saying.replace("'", "''")
        parts = [f"\\echo '{heading}'"]
        if self.words is not None:
            variable, model, words = (
                sql.Identifier(self.variable),
                sql.Literal(DEMO_NAME),
                sql.Literal(self.words),
            )
            remember = render("demo/remember_words.psql", variable=variable, model=model, words=words)
            parts.append(remember.as_string(None).strip())
        return "\n".join([*parts, self.statement()])


@dataclass(frozen=True)
class Answer:
    """What PostgreSQL gave back, and how long it took."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]
    seconds: float


def run_example(connection: Connection, example: Example, vector: str | None = None) -> Answer:
    """Run the statement as it is shown; only the vector's variable becomes a bound parameter.

    Args:
        vector: The vector of the words, as pgvector reads it.
    """
    text = example.statement().replace("%", "%%")
    if example.words is not None:
        text = text.replace(f":'{example.variable}'", "%(vector)s")
    began = time.perf_counter()
    cursor = connection.execute(sql.SQL(text), {"vector": vector})
    rows = cursor.fetchall() if cursor.description else []
    seconds = time.perf_counter() - began
    return Answer([column.name for column in cursor.description or ()], rows, seconds)
