"""Find the rows of a source that a file's keys are of."""

import json
import re
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.verify import reading_only
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.transfer.vector_batch import VectorBatch

NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""No value of PostgreSQL's has a NUL or half a surrogate pair; bytes of a file that are no UTF-8 become the latter."""


@dataclass(frozen=True)
class RowLookup:
    """How rows are found: by the columns of the key, or by another column whose text the file has.

    Attributes:
        column: A column of the source; None for the key.
        strip_prefix: Taken off the beginning of the file's texts first.
    """

    column: str | None = None
    strip_prefix: str = ""


def find_keys(
    connection: Connection, collection: Collection, lookup: RowLookup, batch: VectorBatch
) -> list[tuple[int, Key]]:
    """Return which rows of the source the keys of a batch are of: the place in the batch, from 0, and the row's own key."""
    parts = collection.parts(vector_schema(connection))
    named, lists = value_parts(collection, lookup)
    named["s_keys"] = parts["s_key"]
    statement = render("collection/find_importable.sql", **bindable({**parts, **named}), value_lists=lists)
    with reading_only(connection, collection):
        rows = connection.execute(statement, asked_values(batch, lookup)).fetchall()
    return [(place - 1, key) for place, _, _, key in rows]


def asked_values(batch: VectorBatch, lookup: RowLookup) -> dict[str, str]:
    """Return what find_importable.sql is asked with: for each column a JSON array of texts."""

    def asked(text: str | None) -> str | None:
        return None if text is None or NO_TEXT.search(text) else text.removeprefix(lookup.strip_prefix)

    return {
        f"values_{number}": json.dumps([asked(text) for text in column])
        for number, column in enumerate(batch.keys)
    }


def value_parts(
    collection: Collection, lookup: RowLookup
) -> tuple[dict[str, sql.Composable], sql.Composable]:
    """Return the `{parts}` by which find_importable.sql reads a file's texts and compares them with the source's rows.

    Second, and with placeholders in it, the part `value_lists`.
    """
    key = collection.key_sql
    names = list(collection.key_columns) if lookup.column is None else ["value"]
    texts = [sql.Identifier("t", f"value_{number}") for number, _ in enumerate(names)]
    typed: list[sql.Composable]
    if lookup.column is None:
        matches: sql.Composable = key.equal("k", "s")
        typed = [
            sql.SQL(
                "CASE WHEN pg_catalog.pg_input_is_valid({text}, {name}) THEN {text}::{type} END AS {column}"
            ).format(
                text=text, name=sql.Literal(type_name), type=sql.SQL(type_name), column=sql.Identifier(column)
            )
            for text, type_name, column in zip(texts, key.source_types or key.type_names, names, strict=True)
        ]
    else:
        matches = sql.SQL("s.{}::pg_catalog.text OPERATOR(pg_catalog.=) k.value").format(
            sql.Identifier(lookup.column)
        )
        typed = [sql.SQL("{} AS value").format(texts[0])]
    comma = sql.SQL(", ")
    lists = comma.join(
        sql.SQL("pg_catalog.jsonb_array_elements_text({}::pg_catalog.jsonb)").format(
            sql.Placeholder(f"values_{number}")
        )
        for number, _ in enumerate(names)
    )
    named: dict[str, sql.Composable] = {
        "value_names": comma.join(sql.Identifier(f"value_{number}") for number, _ in enumerate(names)),
        "typed_values": comma.join(typed),
        "k_matches_s": matches,
    }
    return named, lists
