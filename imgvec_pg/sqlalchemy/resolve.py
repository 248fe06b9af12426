"""Which collection a select is about, and where in the select its source stands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import sqlalchemy as sa

from imgvec_pg.embedding.catalog import CATALOGUE
from imgvec_pg.errors import UsageError
from imgvec_pg.sqlalchemy.fold_copies import DISTANCE
from imgvec_pg.store.mixin import CLASSES, SPEC, EmbeddingMixin
from imgvec_pg.store.spec import CollectionSpec, check_name

AnySelect: TypeAlias = "sa.Select[*tuple[Any, ...]]"
"""A select of any columns, as SQLAlchemy 2.1 writes it; 2.0 knows no such thing."""
KeyColumns = Sequence[sa.ColumnElement[Any]]
EMBEDDING_TABLE = "_embedding"
TARGET = "__imgvec_target__"
"""Attribute that keeps what target_of() found."""


@dataclass(frozen=True)
class EmbeddedSource:
    """A collection as near() needs it.

    Attributes:
        key: Name and type of each column of the source's key.
        table: The embedding table, None where only the collection's name is known.
    """

    name: str
    key: Sequence[tuple[str, sa.types.TypeEngine[Any]]]
    source: sa.Table | None
    table: sa.Table | None

    @cached_property
    def source_key(self) -> list[sa.Column[Any]]:
        """The source's columns that the embedding table's key points to."""
        assert self.source is not None  # noqa: S101 - resolve() has looked
        assert self.table is not None  # noqa: S101
        keys = (next(iter(c.foreign_keys)).column.key for c in self.table.primary_key.columns)
        return [self.source.c[key] for key in keys]

    @cached_property
    def dimensions(self) -> int | None:
        """The model's dimensions where Python knows them: by the column's type, the spec or the catalogue."""
        if self.table is None:
            return None
        spec: CollectionSpec | None = self.table.info.get(SPEC)
        model = CATALOGUE.get(spec.model) if spec is not None and spec.model else None
        known = (
            getattr(self.table.c.embedding.type, "dim", None),
            None if spec is None else spec.dimensions,
            None if model is None else model.dimensions,
        )
        return next((dimensions for dimensions in known if dimensions is not None), None)

    @cached_property
    def columns(self) -> list[sa.ColumnClause[Any]]:
        """What near_* return: the key's columns and `distance`."""
        keys: list[sa.ColumnClause[Any]] = [sa.column(name, type_) for name, type_ in self.key]
        return [*keys, sa.column(DISTANCE, sa.Double)]


def target_of(by: type[EmbeddingMixin]) -> EmbeddedSource:
    """Describe the collection that a mapped class stands for.

    Raises:
        UsageError: It is no mapped embedding class, or its key does not point to one source.
    """
    known = by.__dict__.get(TARGET) if isinstance(by, type) else None
    if isinstance(known, EmbeddedSource):
        return known
    table = getattr(by, "__table__", None)
    if not (
        isinstance(by, type) and issubclass(by, EmbeddingMixin) and isinstance(table, sa.Table)
    ) or not table.name.endswith(EMBEDDING_TABLE):
        raise UsageError(
            f"{by!r} is no embedding class; expected one that is mapped with EmbeddingMixin to imgvec.<collection>_embedding"
        )
    columns = list(table.primary_key.columns)
    sources = {key.column.table for column in columns for key in column.foreign_keys}
    if len(sources) > 1:
        raise UsageError(
            f"the key of class {by.__name__} points to {len(sources)} tables; expected its source"
        )
    source = next(iter(sources), None)
    target = EmbeddedSource(
        table.name.removesuffix(EMBEDDING_TABLE),
        [(column.name, column.type) for column in columns],
        source if isinstance(source, sa.Table) else None,
        table,
    )
    setattr(by, TARGET, target)
    return target


def resolve(
    statement: AnySelect, by: type[EmbeddingMixin] | str | None, key: KeyColumns | None
) -> tuple[EmbeddedSource, KeyColumns]:
    """Find the collection and the source's key columns in a select.

    Raises:
        UsageError: There is no collection, or several; the select reads the source not at all, or twice.
    """
    if isinstance(by, str):
        check_name(by)
        if not key:
            raise UsageError(
                f'the collection "{by}" is given by its name; expected its source\'s key columns too: key=[Product.id], or '
                "by=ProductClip, a class with EmbeddingMixin"
            )
        columns = list(key)
        return EmbeddedSource(by, [(_name(column), column.type) for column in columns], None, None), columns
    readings = _Readings(statement)
    by = by if by is not None else _find_class(readings)
    if by is None:
        raise UsageError(
            "the select reads no source of a collection; expected one with a class such as "
            "`class ProductClip(EmbeddingMixin, Base)` with __source__ and __collection__, or by=ProductClip"
        )
    target = target_of(by)
    if key is not None:
        if len(key) != len(target.key):
            raise UsageError(f"key has {len(key)} columns; expected {', '.join(n for n, _ in target.key)}")
        return target, list(key)
    if target.source is None:
        raise UsageError(
            f'the source of collection "{target.name}" is not known; expected key=[…], its key columns'
        )
    return target, _key_columns(readings, target)


def find_class(statement: AnySelect) -> type[EmbeddingMixin] | None:
    """Return the one embedding class of the sources that a select reads; None where they have none.

    Raises:
        UsageError: They have several.
    """
    return _find_class(_Readings(statement))


class _Readings:
    """What a select reads: first that its columns name, which costs little; then with its joins."""

    def __init__(self, statement: AnySelect) -> None:
        self._statement = statement

    def __iter__(self) -> Iterator[list[sa.FromClause]]:
        yield self._named
        yield [leaf for source in self._statement.get_final_froms() for leaf in _leaves(source)]

    @cached_property
    def _named(self) -> list[sa.FromClause]:
        return [leaf for source in self._statement.columns_clause_froms for leaf in _leaves(source)]


def _find_class(readings: _Readings) -> type[EmbeddingMixin] | None:
    for leaves in readings:
        found = {
            name: cls
            for leaf in leaves
            for table in _tables(leaf)
            for name, cls in CLASSES.get(table, {}).items()
        }
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            classes = ", ".join(sorted(cls.__name__ for cls in found.values()))
            raise UsageError(
                f"the select reads sources of several collections; say which with by=: {classes}"
            )
    return None


def _key_columns(readings: _Readings, target: EmbeddedSource) -> list[sa.ColumnElement[Any]]:
    assert target.source is not None  # noqa: S101 - resolve() has looked
    wanted = target.source_key
    for leaves in readings:
        candidates = (
            wanted if leaf is target.source else [leaf.corresponding_column(column) for column in wanted]
            for leaf in leaves
            if target.source in _tables(leaf)
        )
        found = [columns for columns in candidates if all(c is not None for c in columns)]
        if len(found) == 1:
            return found[0]  # type: ignore[return-value]
        if found:
            raise UsageError(
                f"the select reads {target.source.fullname}, the source, {len(found)} times; say which is meant with its key "
                f"columns: key=[{', '.join(f'aliased.{name}' for name, _ in target.key)}]"
            )
    raise UsageError(
        f'the select does not read {target.source.fullname}, the source of collection "{target.name}"; expected it joined, '
        "or its key columns as key=[…]"
    )


def _leaves(source: sa.FromClause) -> Iterator[sa.FromClause]:
    if isinstance(source, sa.Join):
        yield from _leaves(source.left)
        yield from _leaves(source.right)
    else:
        yield source


def _tables(leaf: sa.FromClause) -> list[sa.Table]:
    """Return the table that a FROM item is or stands for."""
    while not isinstance(leaf, sa.Table):
        element = getattr(leaf, "element", None)
        if isinstance(element, sa.SelectBase):
            return (
                [t for t in element.get_final_froms() if isinstance(t, sa.Table)]
                if isinstance(element, sa.Select)
                else []
            )
        if not isinstance(element, sa.FromClause):
            return []
        leaf = element
    return [leaf]


def _name(column: sa.ColumnElement[Any]) -> str:
    return str(getattr(column, "name", None) or column.key)
