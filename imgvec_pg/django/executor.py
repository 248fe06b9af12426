"""Run a sliced near() queryset: choose index scan or exact scan, never fewer than k rows."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import RawSQL
from psycopg import sql

from imgvec_pg.database.index_methods.hnsw import MAX_EF_SEARCH
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.django.connection_dsn import psycopg_connection, vector_schema_of
from imgvec_pg.django.expressions import CosineDistance, QueryVector, with_pictures_of
from imgvec_pg.django.query import QueryTarget
from imgvec_pg.django.shard_executor import Asked, find_on_shards
from imgvec_pg.errors import CollectionNotFoundError
from imgvec_pg.search.nearest import MAX_K
from imgvec_pg.search.strategy import CollectionStats, find
from imgvec_pg.shards.near_from_python import refuse_distinct, span_dimensions
from imgvec_pg.store.pictures.bursts import ListHead, list_head_statement


def find_complete(
    queryset: QuerySet,
    target: QueryTarget,
    *,
    has_distance: bool,
    is_restricted: bool,
    is_distinct: bool = False,
    asked: Asked | None,
) -> list[Any]:
    """Return a queryset's slice, nearest first.

    Args:
        queryset: Ordered by "distance", with a limit.
        has_distance: Whether each row has it as an attribute; else PostgreSQL's order is kept.
        is_restricted: Whether the queryset has conditions of the application's.
        is_distinct: Whether it gives different pictures.
        asked: The same rows without nearness, for shards; None where that cannot be said.

    Raises:
        CollectionNotFoundError: The migration that makes the collection has not run here.
    """
    alias, limit, offset = queryset.db, queryset.query.high_mark, queryset.query.low_mark
    if target.vector(alias) is None:
        return []
    if limit > MAX_K:
        return list(queryset._iterable_class(queryset))
    whole = queryset._chain()
    whole.query.clear_limits()
    # atomic() commits only where Django is to commit by itself.
    has_transaction = not connections[alias].get_autocommit()
    # The settings that a search changes are the transaction's; after an error they go with it or the savepoint.
    with transaction.atomic(using=alias):
        before = begin(alias, target.search.collection)
        if before is None:
            return _of_shards(queryset, asked, target, is_restricted=is_restricted, is_distinct=is_distinct)
        backend = _QuerySetBackend(
            whole,
            alias,
            target,
            has_distance,
            is_restricted,
            is_distinct,
            before.by_picture,
            has_lists=before.has_lists,
        )
        rows, _ = find(backend, limit, before, is_outlived=has_transaction)
    found = list(rows)
    if has_distance:
        # Relaxed scans keep no exact order; equal distances are ordered by key, as an exact search has them.
        found.sort(key=lambda row: (float(row.distance), row.pk))
    return found[offset:]


def begin(alias: str, collection: str) -> CollectionStats | None:
    """Return what a search needs to know first; None where the rows lie on shards.

    Raises:
        CollectionNotFoundError: There is no such collection.
        CollectionError: Its rows lie on shards, and near_* have no tables here.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(load_sql("queries/search_begin.sql").as_string(None), {"name": collection})
        row = cursor.fetchone()
    if row is None:
        if span_dimensions(psycopg_connection(alias), collection) is not None:
            return None
        raise CollectionNotFoundError(
            f'collection "{collection}" does not exist in database "{alias}"; run: python manage.py migrate'
        )
    return CollectionStats.of(row)


def _of_shards(
    queryset: QuerySet, asked: Asked | None, target: QueryTarget, *, is_restricted: bool, is_distinct: bool
) -> list[Any]:
    if is_distinct:
        refuse_distinct(target.search.collection)
    found = None
    if asked is not None:
        found = find_on_shards(queryset, asked, target, is_restricted=is_restricted)
    if found is None:
        # In the order of the foreign tables: each shard's own index, which goes on while more match.
        ordered = by_index(queryset)
        found = list(ordered._iterable_class(ordered))
    return found


def by_index(queryset: QuerySet) -> QuerySet:
    """Return a queryset of near() whose order the index can give; it may then be short."""
    made = queryset._chain()
    made.query.annotations["distance"] = made.query.annotations["distance"].by_index()
    return made


@dataclass
class _QuerySetBackend:
    """Runs a queryset in two orders."""

    queryset: QuerySet
    alias: str
    target: QueryTarget
    has_distance: bool
    is_restricted: bool
    is_distinct: bool = False
    by_picture: bool = False
    has_lists: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def iterative_scan(self) -> str:
        # Without the distance, the rows cannot be put in order afterwards.
        return "relaxed_order" if self.has_distance else "strict_order"

    def set(self, settings: Mapping[str, str]) -> Mapping[str, str | None]:
        self.settings = settings
        with connections[self.alias].cursor() as cursor:
            values = {"settings": json.dumps(settings)}
            cursor.execute(load_sql("queries/set_for_scan.sql").as_string(None), values)
            return {name: was for name, was, _ in cursor.fetchall()}

    def expect_rows(self) -> float:
        if not self.is_restricted:
            return math.inf
        # The distance is not among what is selected, so the vector need not be planned with.
        matching = self.queryset.order_by().values_list("pk")
        statement, values = matching.query.get_compiler(self.alias).as_sql()
        with connections[self.alias].cursor() as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
            (found,) = cursor.fetchone()
        return float((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]["Plan Rows"])

    def fetch(self, limit: int, candidates: int | None) -> Sequence[Any]:
        if candidates is None:
            ordered = self.queryset.order_by("distance", "pk")
        elif self.is_distinct:
            # The row to show need not be among the candidates.
            embeddings = self._embeddings.filter(pk__in=self._first(candidates))
            nearest = list(embeddings.values_list("pk", "content_hash"))
            # The rest is no scan of the index; with sorts off PostgreSQL would read whole tables in order for it.
            self.set({**self.settings, "enable_sort": "on"})
            ordered = with_pictures_of(self.queryset, self.target.search.name, nearest)
            ordered = ordered.order_by("distance", "pk")
        elif candidates <= MAX_EF_SEARCH and not self.by_picture and not self.has_lists:
            # Without iterative scans an HNSW index gives no more candidates than ef_search.
            ordered = by_index(self.queryset)
        else:
            ordered = self.queryset.filter(pk__in=self._first(candidates))
        ordered.query.set_limits(0, limit)
        return list(ordered._iterable_class(ordered))

    def distances(self, rows: Sequence[Any]) -> Sequence[float] | None:
        return [float(row.distance) for row in rows] if self.has_distance else None

    def read_list_head(self, rows: int) -> ListHead:
        search, key = self.target.search, self.target.key
        values: dict[str, object] = {"list_rows": rows}
        if key is None:
            values["query"] = self.target.vector(self.alias)
            call = sql.SQL("imgvec.{near}(%(query)s::{vector}.halfvec)").format(
                near=sql.Identifier(f"near_{search.collection}"),
                vector=sql.Identifier(vector_schema_of(self.alias)),
            )
        else:
            values["key"] = key
            call = sql.SQL("imgvec.{}(%(key)s)").format(sql.Identifier(f"near_{search.collection}_row"))
        column = search.owner._meta.pk.column
        statement = list_head_statement(call, f"{search.collection}_embedding", [column])
        with connections[self.alias].cursor() as cursor:
            cursor.execute(statement.as_string(None), values)
            return ListHead(*cursor.fetchone())

    def _first(self, candidates: int) -> QuerySet | RawSQL:
        """Return the keys of the nearest rows by the index alone, for the conditions to choose from."""
        if not self.by_picture:
            distance = CosineDistance(F("embedding"), QueryVector(self.target)).by_index()
            return self._embeddings.order_by(distance).values("pk")[:candidates]
        near = render(
            "queries/near_keys.sql",
            key_column=sql.Identifier(self.target.search.owner._meta.pk.column),
            near=sql.Identifier(f"near_{self.target.search.collection}"),
            vector=sql.Identifier(vector_schema_of(self.alias)),
        )
        return RawSQL(near.as_string(None), (self.target.vector(self.alias), candidates))  # noqa: S611 - values are bound

    @property
    def _embeddings(self) -> QuerySet:
        return self.target.search.embedding_model._default_manager.using(self.alias)
