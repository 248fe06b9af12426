"""Run a sliced near() queryset on a coordinator: the nearest keys come from search_* of all shards, the rows from here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet, FieldError
from django.db import connections
from django.db.models import QuerySet
from django.db.models.sql import Query
from psycopg import sql

from imgvec_pg.django.connection_dsn import vector_schema_of
from imgvec_pg.django.query import QueryTarget
from imgvec_pg.search.nearest import MAX_K

Condition = tuple[bool, Any, dict[str, Any]]
"""Whether it excludes, and the arguments of filter() or exclude()."""


@dataclass(frozen=True)
class Asked:
    """What was asked before near(), and the conditions that came after it: its rows are those that may be found."""

    before: Query
    later: tuple[Condition, ...] = ()

    def and_then(self, condition: Condition) -> "Asked":
        """Return the same with one condition more."""
        return Asked(self.before, (*self.later, condition))

    def queryset(self, model: type[Any], alias: str) -> QuerySet | None:
        """Return these rows, without nearness; None where a condition is about what near() or a later annotation added."""
        made = QuerySet(model, query=self.before.chain(), using=alias)
        try:
            for is_negated, args, kwargs in self.later:
                made = made._filter_or_exclude(is_negated, args, kwargs)
        except FieldError:
            return None
        return made


def find_on_shards(
    queryset: QuerySet, asked: Asked, target: QueryTarget, *, is_restricted: bool
) -> list[Any] | None:
    """Return a queryset's slice, nearest first, never fewer while more match; None where its conditions cannot be sent along.

    Args:
        queryset: Ordered by "distance", with a limit.
        is_restricted: Whether it has conditions of the application's; without any, keys are sent along only where rows
            that the shards have are missing here.

    Raises:
        django.db.Error: A shard is away, whose name it says.
    """
    alias, limit, offset = queryset.db, queryset.query.high_mark, queryset.query.low_mark
    # A row that is asked with is not in its own answer.
    k = min(limit + (target.key is not None), MAX_K)
    rows: list[Any] = []
    if not is_restricted:
        rows = _rows_of(queryset, target, _nearest_keys(alias, target, k, None))
    if len(rows) < limit:
        source = asked.queryset(queryset.model, alias)
        if source is None:
            return None
        rows = _rows_of(queryset, target, _nearest_keys(alias, target, k, source))
    return rows[offset:]


def _rows_of(queryset: QuerySet, target: QueryTarget, keys: Sequence[Any]) -> list[Any]:
    whole = queryset._chain()
    whole.query.clear_limits()
    # By the embeddings' own key, which postgres_fdw sends along: of the row's, it would take all vectors here and join them.
    few = whole.filter(**{f"{target.search.name}__pk__in": keys})
    ordered = few.order_by("distance", "pk")
    ordered.query.set_limits(0, queryset.query.high_mark)
    return list(ordered._iterable_class(ordered))


def _nearest_keys(alias: str, target: QueryTarget, k: int, source: QuerySet | None) -> list[Any]:
    """Return the keys of the k nearest rows of all shards, among those of a queryset where one is given."""
    search = target.search
    values: list[Any] = [target.vector(alias), k]
    among: sql.Composable = sql.SQL("")
    if source is not None:
        try:
            keys, of_keys = source.order_by().values_list("pk").query.get_compiler(alias).as_sql()
        except EmptyResultSet:
            return []
        among = sql.SQL(", ARRAY({})").format(sql.SQL(keys))
        values += of_keys
    statement = sql.SQL("SELECT {} FROM imgvec.{}(%s::{}.halfvec, %s{})").format(
        sql.Identifier(search.owner._meta.pk.column),
        sql.Identifier(f"search_{search.collection}"),
        sql.Identifier(vector_schema_of(alias)),
        among,
    )
    with connections[alias].cursor() as cursor:
        cursor.execute(statement.as_string(None), values)
        return [row[0] for row in cursor.fetchall()]
