"""`near()` on querysets: a distance to order by, and never fewer rows than asked for while more match."""

from functools import cache
from typing import Any, Self

from django.core.exceptions import FieldError
from django.db.models import F, Manager, Model, Q, QuerySet
from django.db.models.query import ModelIterable

from imgvec_pg.django.executor import find_complete
from imgvec_pg.django.expressions import CosineDistance, HasVector, QueryVector, count_copies, is_shown
from imgvec_pg.django.image_search import search_of
from imgvec_pg.django.query import QueryTarget
from imgvec_pg.django.shard_executor import Asked

DISTANCE, COPIES = "distance", "copies"


class ImageSearchQuerySet(QuerySet):
    """A QuerySet with near(); see there."""

    _result_cache: list[Any] | None
    _near: QueryTarget | None = None
    _is_distinct = False
    _is_complete = True
    _own_conditions = -1
    """How many conditions near() itself has put; -1 where there were others before."""
    # The same without aggregates, for as long as what follows can be said without them too.
    _plain: "ImageSearchQuerySet | None" = None
    # Without near(), as a coordinator's shards are asked; no queryset, which pickling would run.
    _asked: Asked | None = None

    def near(
        self,
        asked: Any,  # noqa: ANN401
        *,
        search: str | None = None,
        complete: bool = True,
        distinct: bool = False,
    ) -> Self:
        """Order by nearness, nearest first; each row gets `distance` (cosine, 0 to 2), rows without embedding go.

        Lazy, and to be composed with whatever QuerySets can do; slice it last: `near("red shoes").filter(…)[:10]`.
        A slice has never fewer rows than asked for while more match: a filter that PostgreSQL's index scan runs short
        under is answered by comparing all that match.

        Args:
            asked: Words; a picture (bytes, a Path, an open or uploaded file, a PIL image); a row of this model or its key
                (an int or UUID), which is then not in its own answer, and near which nothing is while it is not embedded;
                or a vector.
            search: Name of the ImageSearch, where the model has several.
            complete: False leaves the plan and its number of rows to PostgreSQL alone: one statement.
            distinct: Different pictures: of the rows of this QuerySet with one picture that with the lowest primary key, with
                `copies`, how many they are. So filter before: what follows is about that row alone.

        Raises:
            UsageError: Nothing can be searched for like that.
            ValueError: The model has a field "distance"; as Django's annotate() has it.
        """
        found = search_of(self.model, search)
        for taken in (DISTANCE, COPIES) if distinct else (DISTANCE,):
            if taken in (self._fields or _field_names(self.model)):
                raise ValueError(f"The annotation '{taken}' conflicts with a field on the model.")
        target = QueryTarget(found, asked)
        # count() leaves the distance out of the statement; what only the database can tell of the vector is told all the same.
        conditions = [HasVector(target)] if target.is_checked_late else []
        conditions += [] if target.key is None else [~Q(pk=target.key)]
        if distinct:
            others = self.order_by() if target.key is None else self.order_by().exclude(pk=target.key)
            conditions.append(is_shown(others, found.name))
        ordered: Self = self.filter(*conditions, **{f"{found.name}__isnull": False})
        # In place: annotate() and order_by() would each copy it again.
        distance = CosineDistance(F(f"{found.name}__embedding"), QueryVector(target))
        ordered.query.add_annotation(distance if complete else distance.by_index(), DISTANCE)
        if distinct:
            ordered.query.add_annotation(count_copies(others, found.name), COPIES)
        ordered.query.clear_ordering(force=True, clear_default=False)
        ordered.query.add_ordering(DISTANCE)
        ordered._near = target
        ordered._own_conditions = -1 if self.query.where else len(ordered.query.where.children)
        ordered._is_complete, ordered._is_distinct = complete, distinct
        ordered._asked = Asked(self.query)
        return ordered

    def _clone(self) -> Self:
        made: Self = super()._clone()
        made._near = self._near
        made._is_complete, made._is_distinct = self._is_complete, self._is_distinct
        made._own_conditions = self._own_conditions
        made._plain, made._asked = self._plain, self._asked
        return made

    def _annotate(self, args: Any, kwargs: dict[str, Any], select: bool = True) -> Self:  # noqa: ANN401
        made: Self = super()._annotate(args, kwargs, select=select)
        if self._near is None:
            return made
        # After values() it groups by these, and its rows are not the table's.
        if made.query.group_by is not None and self.query.group_by is None and self._fields is None:
            made._plain = self
        return made

    def _filter_or_exclude(self, negate: bool, args: Any, kwargs: dict[str, Any]) -> Self:  # noqa: ANN401
        made: Self = super()._filter_or_exclude(negate, args, kwargs)
        if self._asked is not None:
            made._asked = self._asked.and_then((negate, args, kwargs))
        if self._plain is not None:
            try:
                made._plain = self._plain._filter_or_exclude(negate, args, kwargs)
            except FieldError:
                # It is about the aggregate.
                made._plain = None
        return made

    def complex_filter(self, filter_obj: Any) -> Self:  # noqa: ANN401
        """As filter(), which Django's own takes for a dictionary alone: what shards are asked with has a Q too."""
        made: Self = (
            self._filter_or_exclude(False, (filter_obj,), {})
            if isinstance(filter_obj, Q)
            else super().complex_filter(filter_obj)
        )
        return made

    def extra(self, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401
        """As Django's."""
        return self._asked_otherwise(super().extra(*args, **kwargs))

    def __and__(self, other: QuerySet) -> Self:
        return self._asked_otherwise(super().__and__(other), other)

    def __or__(self, other: QuerySet) -> Self:
        return self._asked_otherwise(super().__or__(other), other)

    def __xor__(self, other: QuerySet) -> Self:
        return self._asked_otherwise(super().__xor__(other), other)

    def _asked_otherwise(self, made: Any, other: QuerySet | None = None) -> Self:  # noqa: ANN401
        """Give what has conditions that `_asked` has not: it is a join with the shards' tables."""
        if made is not self and made is not other:
            made._asked = None
        return made

    def _fetch_all(self) -> None:
        if (
            self._result_cache is None
            and self._near is not None
            and self._is_complete
            and self._is_nearest_few()
        ):
            self._result_cache = self._nearest_few()
        super()._fetch_all()

    def _is_nearest_few(self) -> bool:
        query = self.query
        return (
            query.high_mark is not None
            and tuple(query.order_by) == (DISTANCE,)
            and query.standard_ordering
            and not query.distinct
            and not query.combinator
            and not query.is_empty()
        )

    def _nearest_few(self) -> list[Any]:
        if self.query.group_by is not None:
            return self._nearest_aggregated()
        assert self._near is not None  # noqa: S101 - called only then
        return find_complete(
            self,
            self._near,
            has_distance=issubclass(self._iterable_class, ModelIterable),
            is_restricted=self._own_conditions != len(self.query.where.children),
            is_distinct=self._is_distinct,
            asked=self._asked,
        )

    def _nearest_aggregated(self) -> list[Any]:
        """Aggregate for the nearest few only: their keys are found first, as GROUP BY would keep the index out."""
        query = self.query
        if self._plain is None:
            return list(self._iterable_class(self))
        nearest = self._plain.using(self.db).select_related(None).prefetch_related(None).only("pk")
        keys = [row.pk for row in nearest[: query.high_mark]]
        wanted = keys[query.low_mark :]
        few = self._chain()
        few._plain = None
        few.query.clear_limits()
        few = few.filter(pk__in=wanted)
        found = list(few._iterable_class(few))
        # A filter over a relation gives a key several times, which GROUP BY makes one row again; extra() is not in the plain one.
        is_short = len(set(keys)) < len(keys) or len(found) < len(wanted)
        return list(self._iterable_class(self)) if is_short else found


@cache
def _field_names(model: type[Model]) -> frozenset[str]:
    """Return the names that Django lets no annotation have."""
    fields = model._meta.get_fields()
    return frozenset(name for field in fields for name in (field.name, getattr(field, "attname", field.name)))


class ImageSearchManager(Manager.from_queryset(ImageSearchQuerySet)):  # type: ignore[misc]
    """A manager with near()."""
