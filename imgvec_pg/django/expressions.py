"""Cosine distance, and which rows share a picture, as Django expressions."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import (
    BigIntegerField,
    BooleanField,
    Case,
    Count,
    Exists,
    Expression,
    FloatField,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from pgvector.django import HalfVectorField

from imgvec_pg.django.connection_dsn import vector_schema_of
from imgvec_pg.django.query import QueryTarget

UNKNOWN = b""
"""The content_hash of a row whose picture nobody knows: it is one by itself."""


class QueryVector(Expression):
    """The vector of a target, bound as a value where the statement is compiled."""

    output_field = HalfVectorField()

    def __init__(self, target: QueryTarget) -> None:
        super().__init__()
        self.target = target

    @property
    def identity(self) -> tuple[Any, ...]:
        """What it is compared by; Django's own inspects the signature of __init__ for every statement."""
        return (type(self), self.target)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # noqa: ANN401
        """Return a placeholder and the vector as text.

        Raises:
            EmptyResultSet: The row that is searched with has no vector: nothing is near it.
        """
        vector = self.target.vector(connection.alias)
        if vector is None:
            raise EmptyResultSet
        schema = connection.ops.quote_name(vector_schema_of(connection.alias))
        return f"%s::{schema}.halfvec", [vector]

    def get_group_by_cols(self) -> list[Any]:
        """A value needs no grouping."""
        return []


class CosineDistance(Func):
    """Cosine distance, 0 to 2, by the operator of the schema where the extension lives.

    Until it is wanted by the index, an order by it compares all rows: a scan of the index ends after
    hnsw.ef_search rows, whatever the statement around it still needs.
    """

    output_field = FloatField()
    arity = 2
    is_by_index = False

    @property
    def identity(self) -> tuple[Any, ...]:
        """What it is compared by; Django's own inspects the signature of __init__ for every statement."""
        return (type(self), self.is_by_index, *self.get_source_expressions())

    def by_index(self) -> "CosineDistance":
        """Return the same as the HNSW index can order by it."""
        made: CosineDistance = self.copy()
        made.is_by_index = True
        return made

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # noqa: ANN401
        """Return `(embedding <=> vector)`, which the HNSW index can order by; with + 0 no index can."""
        schema = connection.ops.quote_name(vector_schema_of(connection.alias))
        parts = [compiler.compile(expression) for expression in self.get_source_expressions()]
        (left, left_values), (right, right_values) = parts
        distance = f"({left} OPERATOR({schema}.<=>) {right})"
        return distance if self.is_by_index else f"({distance} + 0)", [*left_values, *right_values]


class HasVector(Expression):
    """True, or nothing at all where the row that is searched with has no vector."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, target: QueryTarget) -> None:
        super().__init__()
        self.target = target

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # noqa: ANN401
        """Raise EmptyResultSet or FullResultSet, by which Django leaves a condition out."""
        if self.target.vector(connection.alias) is None:
            raise EmptyResultSet
        raise FullResultSet


def is_shown(rows: QuerySet, search: str) -> Q:
    """Whether a row has the lowest primary key of the rows with its picture.

    Args:
        rows: Those that match, unordered.
        search: Name of the ImageSearch.
    """
    hash_of = f"{search}__content_hash"
    before = rows.filter(**{hash_of: OuterRef(hash_of)}, pk__lt=OuterRef("pk"))
    return Q(**{hash_of: UNKNOWN}) | ~Q(Exists(before))


def count_copies(rows: QuerySet, search: str) -> Expression:
    """Return how many of the rows have the picture of one."""
    hash_of = f"{search}__content_hash"
    same = rows.filter(**{hash_of: OuterRef(hash_of)}).values(hash_of)
    counted = Subquery(same.annotate(imgvec_copies=Count("pk", distinct=True)).values("imgvec_copies"))
    return Case(When(**{hash_of: UNKNOWN}, then=Value(1)), default=counted, output_field=BigIntegerField())


def with_pictures_of(rows: QuerySet, search: str, found: Iterable[tuple[object, bytes]]) -> QuerySet:
    """Return the rows with the pictures of some, which are given by primary key and content_hash."""
    pictures, alone = set(), set()
    for key, content_hash in found:
        if bytes(content_hash) == UNKNOWN:
            alone.add(key)
        else:
            pictures.add(bytes(content_hash))
    condition = Q(**{f"{search}__content_hash__in": pictures})
    return rows.filter(condition | Q(**{f"{search}__pk__in": alone}) if alone else condition)
