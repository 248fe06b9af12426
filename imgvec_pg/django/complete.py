"""A sliced queryset by the library's search ways: by the index, or by comparing all that match."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from django.db import connections, transaction
from django.db.models import F, QuerySet, Value

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sqlfiles import load_sql
from imgvec_pg.django.connections import psycopg_connection, vector_schema_of
from imgvec_pg.django.targets import Target
from imgvec_pg.search.nearest import MAX_K
from imgvec_pg.search.ways import SETTINGS, Before, find
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collections import get_collection

KNOWN_SECONDS = 60.0

_known: dict[tuple[str, str, str], tuple[float, Collection]] = {}
_loaded: "WeakSet[Connection]" = WeakSet()


def find_complete(queryset: QuerySet, target: Target, *, has_distance: bool) -> list[Any]:
    """Return a queryset's slice, nearest first.

    Args:
        queryset: Ordered by "distance", with a limit.
        has_distance: Whether each row has it as an attribute; else PostgreSQL's order is kept.
    """
    alias, limit, offset = queryset.db, queryset.query.high_mark, queryset.query.low_mark
    if target.vector(alias) is None:
        return []
    if limit > MAX_K:
        return list(queryset._iterable_class(queryset))
    collection = known_collection(alias, target.search.collection)
    whole = queryset._chain()
    whole.query.clear_limits()
    asker = _QuerySetAsker(whole, alias, f"imgvec.{collection.embedding_table}", has_distance)
    # The settings that a search changes are the transaction's; after an error they go with it or the savepoint.
    with transaction.atomic(using=alias):
        rows, _ = find(asker, limit, collection.ef_search)
    found = list(rows)
    if has_distance:
        # Relaxed scans keep no exact order; equal distances are ordered by key, as an exact search has them.
        found.sort(key=lambda row: (float(row.distance), row.pk))
    return found[offset:]


def known_collection(alias: str, name: str) -> Collection:
    """Return a collection as it was a minute ago at most: of it only the table's name and the tuned ef_search are used."""
    key = (alias, str(connections[alias].settings_dict["NAME"]), name)
    found = _known.get(key)
    if found is None or found[0] < time.monotonic() - KNOWN_SECONDS:
        found = (time.monotonic(), get_collection(psycopg_connection(alias), name))
        _known[key] = found
    return found[1]


@dataclass(frozen=True)
class _QuerySetAsker:
    """Asks a queryset in two orders."""

    queryset: QuerySet
    alias: str
    table: str
    has_distance: bool

    def begin(self) -> Before:
        connection = psycopg_connection(self.alias)
        with connections[self.alias].cursor() as cursor:
            if connection not in _loaded:
                # pgvector's settings exist once its library is loaded.
                schema = connections[self.alias].ops.quote_name(vector_schema_of(self.alias))
                cursor.execute(f"SELECT '[1]'::{schema}.halfvec")
                _loaded.add(connection)
            cursor.execute(
                load_sql("queries/search_begin.sql").as_string(None),
                {"names": list(SETTINGS), "table": self.table},
            )
            settings, embedded_rows = cursor.fetchone()
        return Before(json.loads(settings) if isinstance(settings, str) else settings, embedded_rows)

    def set(self, settings: Mapping[str, str]) -> None:
        wanted = dict(settings)
        if not self.has_distance and wanted.get("hnsw.iterative_scan") == "relaxed_order":
            wanted["hnsw.iterative_scan"] = "strict_order"
        with connections[self.alias].cursor() as cursor:
            cursor.execute(
                load_sql("queries/set_for_transaction.sql").as_string(None), {"settings": json.dumps(wanted)}
            )

    def explain(self, limit: int) -> dict[str, Any]:
        statement, values = self._ordered(limit, exact=False).query.get_compiler(self.alias).as_sql()
        with connections[self.alias].cursor() as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
            (found,) = cursor.fetchone()
        plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        return plan

    def ask(self, limit: int, *, exact: bool) -> Sequence[Any]:
        asked = self._ordered(limit, exact=exact)
        return list(asked._iterable_class(asked))

    def _ordered(self, limit: int, *, exact: bool) -> QuerySet:
        # + 0 is an order that no index has.
        ordered = (
            self.queryset.order_by(F("distance") + Value(0.0), "pk") if exact else self.queryset._chain()
        )
        ordered.query.set_limits(0, limit)
        return ordered
