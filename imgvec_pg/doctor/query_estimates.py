"""Check what the planner's row estimates of a filter rest on; queries and search() choose index or exact scan by them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.explain import nodes
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding

CONDITIONS = ("Filter", "Index Cond", "Recheck Cond")
JOIN = re.compile(r"[\w\"]+\.[\w\"]+ = \(?[\w\"]+\.[\w\"]+")
QUOTED_TEXT = re.compile(r"'(?:[^']|'')*'")
NAME = re.compile(r'"((?:[^"]|"")+)"|\b([a-z_][a-z0-9_$]*)\b')


def judge_estimates(connection: Connection, plan: Mapping[str, Any]) -> Iterator[Finding]:
    """Name the tables of a plan without statistics, and those that it filters by columns that may go together.

    Args:
        plan: As EXPLAIN (VERBOSE, FORMAT JSON) has it.
    """
    for (schema, table), names in sorted(_filtered_tables(plan).items()):
        row = connection.execute(
            load_sql("queries/filter_statistics.sql"), {"schema": schema, "table": table, "names": names}
        ).fetchone()
        if row is None:
            continue
        shown, columns, has_statistics, is_analyzed = row
        if not is_analyzed:
            yield Finding(
                "warning",
                "query",
                f"{shown} has no statistics, so PostgreSQL guesses how many rows match",
                f"ANALYZE {shown}",
            )
        elif len(columns) > 1 and not has_statistics:
            together = ", ".join(columns)
            yield Finding(
                "info",
                "query",
                f"{shown} is filtered by {together}, which PostgreSQL takes to be independent",
                f"where they go together: CREATE STATISTICS ON {together} FROM {shown}; ANALYZE {shown}",
            )


def _filtered_tables(plan: Mapping[str, Any]) -> dict[tuple[str, str], list[str]]:
    """Return the application's tables in a plan with the names that their conditions mention."""
    found: dict[tuple[str, str], set[str]] = {}
    for node in nodes(plan):
        if "Relation Name" not in node or node.get("Schema") == "imgvec":
            continue
        text = QUOTED_TEXT.sub("", " ".join(str(node.get(key, "")) for key in CONDITIONS))
        text = JOIN.sub("", text)
        names = {quoted.replace('""', '"') or plain for quoted, plain in NAME.findall(text)}
        found.setdefault((str(node["Schema"]), str(node["Relation Name"])), set()).update(names)
    return {table: sorted(names) for table, names in found.items()}
