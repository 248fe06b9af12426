"""EmbeddingMixin: the embedding table of a collection as a class of the application's own declarative base."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapped, MappedColumn, Mapper, mapped_column, relationship

from imgvec_pg.errors import UsageError
from imgvec_pg.store.spec import CollectionSpec

SCHEMA = "imgvec"
INFO = "imgvec"
"""Key in the `info` of an embedding table, whose value is "collection"; in that of a MetaData, the MetaData with the
embedding tables of its sources."""
SPEC = "imgvec_spec"
"""Key in the `info` of an embedding table: its CollectionSpec."""
CLASSES: WeakKeyDictionary[sa.Table, dict[str, type[Any]]] = WeakKeyDictionary()
"""The embedding classes of a source's table by name of the collection. Not in its `info`, which Alembic writes out."""
TAKEN = frozenset(
    {"embedding", "version", "content_hash", "precision", "embedded_at", "reference_hash", "source"}
)


class Embedding(HALFVEC):
    """A column's halfvec whose cosine_distance() is found wherever the extension lives; the index orders by it all the same."""

    cache_ok = True

    class comparator_factory(HALFVEC.comparator_factory):  # type: ignore[misc, valid-type]
        """What can be asked of an embedding."""

        def cosine_distance(self, other: Any) -> sa.ColumnElement[float]:  # noqa: ANN401 - a vector in any form
            """Return the distance to a vector or an expression, 0 to 2."""
            return distance_between(self.expr, other)


def distance_between(embedding: sa.ColumnElement[Any], other: Any) -> sa.ColumnElement[float]:  # noqa: ANN401
    """Return the cosine distance of an embedding from a vector or an expression, 0 to 2, lower is nearer."""
    is_expression = hasattr(other, "__clause_element__") or isinstance(other, sa.ClauseElement)
    vector = other if is_expression else sa.literal(other, HALFVEC())
    distance: sa.ColumnElement[float] = getattr(sa.func, SCHEMA).cosine_distance(
        embedding, vector, type_=sa.Double()
    )
    return distance


class EmbeddingMixin:
    """Columns of an embedding table. Name the source, and its key and a relationship `source` are added:

        class ProductClip(EmbeddingMixin, Base):
            __source__ = Product
            __collection__ = "product_clip"

    or a CollectionSpec, for Alembic's autogenerate to create the collection. Without `__source__` write
    `__tablename__`, `__table_args__` and the key columns yourself.

    `embedding` is a halfvec of L2 norm 1 with the dimensions of the collection's model. `embedding.cosine_distance(q)`
    gives 0 to 2, lower is nearer. The table belongs to a MetaData of its own, so that neither create_all() nor
    Alembic would make a bare table of it.

    Raises:
        UsageError: The source is no mapped class or table with a primary key, or lacks a column that the spec names,
            or `__collection__` is missing.
    """

    __source__: ClassVar[Any] = None
    __collection__: ClassVar[str | CollectionSpec | None] = None

    if TYPE_CHECKING:
        embedding: Mapped[Any]
        version: Mapped[int]
        content_hash: Mapped[bytes]
        precision: Mapped[str]
        embedded_at: Mapped[datetime]
        reference_hash: Mapped[bytes | None]

    def __init_subclass__(cls, **arguments: Any) -> None:  # noqa: ANN401 - the declarative base's own
        if "__source__" in cls.__dict__:
            _follow_source(cls)
        # A class that is to be mapped, and no mixin or abstract class on the way to it.
        is_mapped = hasattr(cls, "metadata") or hasattr(cls, "__tablename__")
        if is_mapped and not cls.__dict__.get("__abstract__", False):
            _add_columns(cls)
        super().__init_subclass__(**arguments)


COLUMNS: dict[str, Callable[[], "MappedColumn[Any]"]] = {
    "embedding": lambda: mapped_column(Embedding(), nullable=False),
    "version": lambda: mapped_column(sa.BigInteger, nullable=False),
    "content_hash": lambda: mapped_column(sa.LargeBinary, nullable=False),
    "precision": lambda: mapped_column(sa.Text, nullable=False),
    "embedded_at": lambda: mapped_column(
        TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()
    ),
    "reference_hash": lambda: mapped_column(sa.LargeBinary, nullable=True),
}


def _add_columns(cls: type[EmbeddingMixin]) -> None:
    """Give a class the columns that every embedding table has and that it does not declare itself.

    On the class, and without annotations: those of a mixin would have to be fields of a dataclass where the application's
    base makes its classes such (MappedAsDataclass), and of pydantic's model where it is SQLModel.
    """
    for name, column in COLUMNS.items():
        if not hasattr(cls, name):
            setattr(cls, name, column())


def _follow_source(cls: type[EmbeddingMixin]) -> None:
    """Give a class its table's name, the source's key columns and the relationship, before it is mapped."""
    table, mapper = _source_of(cls)
    spec = cls.__dict__.get("__collection__")
    if isinstance(spec, str):
        spec = CollectionSpec(spec)
    if not isinstance(spec, CollectionSpec):
        raise UsageError(
            f"class {cls.__name__} has a __source__ and no __collection__; expected the name of a collection, such as "
            f'__collection__ = "{table.name}_clip"'
        )
    keys = {_attribute(mapper, column): column for column in table.primary_key.columns}
    if not keys:
        raise UsageError(
            f"{table.fullname}, the source of class {cls.__name__}, has no primary key; expected one, as each picture "
            "needs a key of its own"
        )
    if taken := sorted(TAKEN.intersection(keys)):
        raise UsageError(
            f'the key column "{taken[0]}" of {table.fullname} has a name that embedding tables use themselves; rename it'
        )
    names = [column.name for column in table.columns]
    for name in (*spec.image_columns, *spec.watch):
        # Of another relation, a view say, nothing is known here.
        if spec.source is None and name not in names:
            raise UsageError(
                f'{table.fullname}, the source of class {cls.__name__}, has no column "{name}"; it has: '
                f"{', '.join(names)}"
            )
    spec = replace(spec, source=spec.source or _quoted(table))
    twin = _twin(table, spec)
    if twin is not None:
        raise UsageError(
            f"classes {twin} and {cls.__name__} both embed {spec.source} ({', '.join(spec.image_columns)}) by "
            f"{spec.model}; expected one collection for a model"
        )
    cls.__tablename__ = f"{spec.name}_embedding"  # type: ignore[attr-defined]
    columns = list(keys.values())
    cls.__table_args__ = (  # type: ignore[attr-defined]
        sa.ForeignKeyConstraint([column.name for column in columns], columns),
        {"schema": SCHEMA, "info": {INFO: "collection", SPEC: spec}},
    )
    cls.metadata = table.metadata.info.setdefault(INFO, sa.MetaData())  # type: ignore[attr-defined]
    for name, column in keys.items():
        setattr(cls, name, mapped_column(column.name, column.type, primary_key=True, autoincrement=False))
    if mapper is not None:
        cls.source = relationship(mapper.class_, viewonly=True)  # type: ignore[attr-defined]
    CLASSES.setdefault(table, {})[spec.name] = cls


def _source_of(cls: type[EmbeddingMixin]) -> tuple[sa.Table, Mapper[Any] | None]:
    source = cls.__dict__["__source__"]
    if isinstance(source, sa.Table):
        return source, None
    try:
        mapper = sa.inspect(source)
    except NoInspectionAvailable:
        mapper = None
    if not isinstance(mapper, Mapper) or not isinstance(mapper.local_table, sa.Table):
        raise UsageError(
            f"class {cls.__name__} has the __source__ {source!r}; expected a mapped class or a Table with the pictures"
        )
    return mapper.local_table, mapper


def _attribute(mapper: Mapper[Any] | None, column: sa.Column[Any]) -> str:
    return column.key if mapper is None else mapper.get_property_by_column(column).key


def _twin(table: sa.Table, spec: CollectionSpec) -> str | None:
    """Return the name of a class that embeds the same pictures by the same model under another name."""
    for name, other in CLASSES.get(table, {}).items():
        told = other.__table__.info[SPEC]
        if (
            name != spec.name
            and spec.is_complete
            and (told.model, told.image_columns) == (spec.model, spec.image_columns)
        ):
            return str(other.__name__)
    return None


def _quoted(table: sa.Table) -> str:
    from sqlalchemy.dialects import postgresql

    return postgresql.dialect().identifier_preparer.format_table(table)  # type: ignore[no-untyped-call]
