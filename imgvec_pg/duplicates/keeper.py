"""Rules that choose which picture of a group to keep."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection, needing
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.vector_rows import bracketed, own_sql
from imgvec_pg.errors import UsageError
from imgvec_pg.search.code_of_others import refuse_code_of_others
from imgvec_pg.store.collection import Collection

DIRECTION = re.compile(r"\s+(asc|desc)\s*$", re.IGNORECASE)
WORDS = ("pixels", "bytes", "oldest")


@dataclass(frozen=True)
class KeepRule:
    """An expression over the source's columns; the row where it is largest is kept, or smallest.

    Attributes:
        shown: What a person called it, and what the group's `reason` says.
        ascending: Whether the smallest is kept.
    """

    shown: str
    expression: sql.Composable
    ascending: bool


def keep_rules(connection: Connection, collection: Collection, texts: Sequence[str]) -> list[KeepRule]:
    """Return the rules in the order given; without any, those of WORDS that the source has columns for.

    A rule is a word of WORDS, or SQL over the source's columns with ASC or DESC behind it, as in ORDER BY; without either the
    largest is kept. pixels: columns width and height. bytes: the column that holds the picture. oldest: created_at.

    Raises:
        UsageError: The source has no columns for a word, or a rule is empty.
    """
    known = _words(connection, collection)
    if not texts:
        return list(known.values())
    rules = []
    for text in texts:
        word = text.strip().lower()
        if word in known:
            rules.append(known[word])
        elif word in WORDS:
            raise UsageError(
                f"{collection.shown_source} has no columns for --keep {word}, which takes {_TAKES[word]}; "
                'give SQL over its columns, such as --keep "file_size DESC"'
            )
        else:
            rules.append(_expression(text))
    return rules


_TAKES = {"pixels": "width and height", "bytes": "pictures in a bytea column", "oldest": "created_at"}


def _words(connection: Connection, collection: Collection) -> dict[str, KeepRule]:
    row = connection.execute(
        load_sql("queries/column_names.sql"),
        {"schema": collection.source_schema, "name": collection.source_name},
    ).fetchone()
    columns, numbers = (set(names) for names in (row or ((), ())))
    found = {}
    # As text ("30 cm") they are the thing's, not the picture's.
    if {"width", "height"} <= numbers:
        pixels = sql.SQL('("width"::pg_catalog.numeric OPERATOR(pg_catalog.*) "height"::pg_catalog.numeric)')
        found["pixels"] = KeepRule("pixels", pixels, ascending=False)
    if collection.content_column is not None:
        length = sql.SQL("pg_catalog.octet_length({})").format(sql.Identifier(collection.content_column))
        found["bytes"] = KeepRule("bytes", length, ascending=False)
    if "created_at" in columns:
        found["oldest"] = KeepRule("oldest", sql.Identifier("created_at"), ascending=True)
    return found


def _expression(text: str) -> KeepRule:
    direction = DIRECTION.search(text)
    expression = text[: direction.start()] if direction else text
    if not expression.strip():
        raise UsageError(
            f'the rule {text!r} is empty; expected {", ".join(WORDS)} or SQL over the source\'s columns, such as "file_size DESC"'
        )
    return KeepRule(
        text.strip(), bracketed(expression), ascending=direction is not None and direction[1].lower() == "asc"
    )


def keep_parts(rules: Sequence[KeepRule]) -> dict[str, sql.Composable]:
    """Return the `{parts}` of collection/place_members.sql that put the rules into SQL."""
    numbers = range(1, len(rules) + 1)
    orders = [
        sql.SQL("s.imgvec_rule_{} {} NULLS LAST, ").format(
            sql.Literal(number), sql.SQL("ASC" if rule.ascending else "DESC")
        )
        for number, rule in zip(numbers, rules, strict=True)
    ]
    rule_columns = [
        sql.SQL(", {} AS imgvec_rule_{}").format(rule.expression, sql.Literal(number))
        for number, rule in zip(numbers, rules, strict=True)
    ]
    ranks = [
        sql.SQL(
            ", rank() OVER (PARTITION BY r.imgvec_group ORDER BY {}r.imgvec_group) AS imgvec_rank_{}"
        ).format(sql.SQL("").join(orders[:number]), sql.Literal(number))
        for number in numbers
    ]
    # Behind the first by this rule; or the first, and by this rule alone before all others.
    whens = [
        sql.SQL(
            " WHEN r.imgvec_rank_{number} > 1"
            " OR count(*) FILTER (WHERE r.imgvec_rank_{number} = 1) OVER (PARTITION BY r.imgvec_group) = 1 THEN {shown}"
        ).format(number=sql.Literal(number), shown=sql.Literal(rule.shown))
        for number, rule in zip(numbers, rules, strict=True)
    ]
    reason = sql.SQL("CASE{} ELSE 'key' END").format(sql.SQL("").join(whens)) if rules else sql.SQL("'key'")
    return {
        "rules": sql.SQL("").join(rule_columns),
        "order": sql.SQL("").join(orders),
        "ranks": sql.SQL("").join(ranks),
        "reason": reason,
    }


def refuse_others_sql(
    connection: Connection, collection: Collection, where: str | None, rules: Sequence[KeepRule]
) -> None:
    """Refuse a superuser's condition, and rules, that run what the source's owner has made, casts of its columns too."""
    with own_sql(where, "condition", collection):
        refuse_code_of_others(connection, collection, where)
    for rule in rules:
        with own_sql(rule.shown, "rule", collection):
            refuse_code_of_others(
                connection, collection, f"{rule.expression.as_string(connection)} IS NOT NULL"
            )


def refuse_bad_rules(connection: Connection, collection: Collection, rules: Sequence[KeepRule]) -> None:
    """Refuse rules that PostgreSQL does not take, which only the writing, after all is compared, would meet.

    Raises:
        UsageError: It does not take one.
        DatabaseError: The role may not read the source.
    """
    for rule in rules:
        keys = sql.SQL(", ").join(map(sql.Identifier, collection.key_columns))
        statement = render("collection/rule.sql", rule=rule.expression, source=collection.source, keys=keys)
        with (
            own_sql(rule.shown, "rule", collection),
            needing(connection, f"it takes SELECT on {collection.shown_source}"),
        ):
            connection.execute(statement)
