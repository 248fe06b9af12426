"""Autogenerate comparators: HNSW indexes whose options changed, collections that are declared and missing.

It runs after Alembic's own comparison and corrects its result: nothing of the schema imgvec is the application's.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

from imgvec_pg.alembic.alter_collection import AlterCollectionOp
from imgvec_pg.alembic.collection_ops import CreateCollectionOp
from imgvec_pg.alembic.index_ops import (
    OPCLASS,
    CreateHnswIndexOp,
    DropHnswIndexOp,
    HnswIndex,
    ReplaceHnswIndexOp,
    existing_indexes,
    in_transaction,
)
from imgvec_pg.alembic.migration_errors import MigrationError, telling
from imgvec_pg.alembic.render import PGVECTOR_IMPORT
from imgvec_pg.store.collection_ddl import ALTERABLE
from imgvec_pg.store.mixin import INFO, SCHEMA, SPEC
from imgvec_pg.store.spec import CollectionSpec

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

# Below Alembic's own, which is the one that an alembic.ini shows.
log = logging.getLogger("alembic.imgvec_pg")

METHODS = ("hnsw", "ivfflat")


def compare_schema(
    context: "AutogenContext", upgrade: ops.UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    """Leave out the library's schema, then add indexes and collections."""
    upgrade.ops[:] = [op for op in upgrade.ops if getattr(op, "schema", None) != SCHEMA]
    made = {(op.schema, op.table_name) for op in upgrade.ops if isinstance(op, ops.CreateTableOp)}
    for table in list(context.sorted_tables):
        if table.schema != SCHEMA:
            _compare_indexes(context, upgrade, table, is_new=_is_among(table, made, context))
    for metadata in _metadatas(context):
        for table in metadata.info.get(INFO, sa.MetaData()).tables.values():
            _compare_collection(context, upgrade, table)
    _import_vector_types(context)
    return PriorityDispatchResult.CONTINUE


def _compare_indexes(
    context: "AutogenContext", upgrade: ops.UpgradeOps, table: sa.Table, *, is_new: bool
) -> None:
    """Compare the HNSW indexes of one table of the application's, and have those be made by our operations."""
    declared = {
        index.name: found for index in table.indexes if (found := declared_hnsw(table, index)) is not None
    }
    schema = table.schema
    rows = [] if is_new else existing_indexes(context.connection, table.name, schema or _default(context))
    existing = {row.name: row for row in rows}
    others = {index.name for index in table.indexes} - set(declared)
    for container in _containers(upgrade, table, context):
        _take_over(container, declared, existing)
    for name, index in declared.items():
        found = existing.get(name)
        wanted = in_transaction(index) if is_new else index
        if found is None or not found.is_valid:
            log.info("Detected added HNSW index %r on %r", name, table.fullname)
            upgrade.ops.append(CreateHnswIndexOp(wanted))
        elif not index.is_made_as(found):
            log.info("Detected changed HNSW index %r on %r", name, table.fullname)
            if found.method == "hnsw" and found.is_plain:
                upgrade.ops.append(ReplaceHnswIndexOp(wanted, _as_found(wanted, found)))
            else:
                upgrade.ops.append(ops.DropIndexOp(str(name), table.name, schema=schema))
                upgrade.ops.append(CreateHnswIndexOp(wanted))
    for name, row in existing.items():
        if row.method == "hnsw" and row.is_plain and name not in declared:
            old = HnswIndex(
                name, table.name, row.column_name, schema, row.opclass, row.m, row.ef_construction
            )
            # An index that became one of another method: Alembic's comparison sees no change in it.
            position = len(upgrade.ops)
            upgrade.ops.insert(position, DropHnswIndexOp(old))
            if name in others:
                other = next(i for i in table.indexes if i.name == name)
                upgrade.ops.append(ops.CreateIndexOp.from_index(other))
            log.info("Detected removed HNSW index %r on %r", name, table.fullname)


def declared_hnsw(table: sa.Table, index: sa.Index) -> HnswIndex | None:
    """Return an Index of a model as HNSW index, None where it is another, or more than one column of the whole table."""
    options = index.dialect_options["postgresql"]
    columns = list(index.expressions)
    if options["using"] != "hnsw" or options["where"] is not None or len(columns) != 1:
        return None
    column = columns[0]
    if not isinstance(column, sa.Column) or index.name is None:
        return None
    with_ = {name: int(value) for name, value in (options["with"] or {}).items()}
    opclass = (options["ops"] or {}).get(column.key) or (options["ops"] or {}).get(column.name)
    return HnswIndex(
        str(index.name),
        table.name,
        column.name,
        table.schema,
        opclass or _default_opclass(column),
        with_.get("m", 16),
        with_.get("ef_construction", 64),
    )


def _default_opclass(column: sa.Column[Any]) -> str:
    # pgvector's own default for HNSW is L2 over vector only; a halfvec has none.
    return "vector_l2_ops" if isinstance(column.type, VECTOR) else OPCLASS


def _take_over(container: list[Any], declared: dict[Any, HnswIndex], existing: dict[Any, Any]) -> None:
    """Take from Alembic's own operations those on HNSW indexes, which ours replace."""
    ours = {name for name, row in existing.items() if row.method == "hnsw" and row.is_plain} | set(declared)
    container[:] = [
        op
        for op in container
        if not (isinstance(op, ops.CreateIndexOp | ops.DropIndexOp) and op.index_name in ours)
    ]


def _containers(upgrade: ops.UpgradeOps, table: sa.Table, context: "AutogenContext") -> Iterator[list[Any]]:
    """Give the lists that hold operations on a table, and drop those that end up empty."""
    for op in list(upgrade.ops):
        if isinstance(op, ops.ModifyTableOps) and _is_among(table, {(op.schema, op.table_name)}, context):
            yield op.ops
            if not op.ops:
                upgrade.ops.remove(op)
    yield upgrade.ops


def _as_found(index: HnswIndex, found: Any) -> HnswIndex:  # noqa: ANN401
    return replace(
        index,
        column=found.column_name,
        opclass=found.opclass,
        m=found.m,
        ef_construction=found.ef_construction,
    )


def _compare_collection(context: "AutogenContext", upgrade: ops.UpgradeOps, table: sa.Table) -> None:
    """Create a collection that is declared with all it needs and missing; compare one that is there.

    Raises:
        MigrationError: It is by another model, which never changes in a collection; or its index over bits has other
            options, which no operation changes.
    """
    declared: CollectionSpec = table.info[SPEC]
    if not declared.is_complete:
        return
    with telling():
        spec = declared.resolve()
    connection = context.connection
    assert connection is not None  # noqa: S101 - autogenerate runs online
    if connection.execute(sa.text("SELECT to_regclass('imgvec.collection')")).scalar() is None:
        raise MigrationError("the database has no schema imgvec yet; run first: imgvec migrate")
    found = connection.execute(
        sa.text(
            "SELECT m.name AS model, m.dimensions, c.m, c.ef_construction, c.quantization, c.root, c.url_prefixes"
            " FROM imgvec.collection AS c JOIN imgvec.model AS m ON m.id = c.model_id WHERE c.name = :name"
        ),
        {"name": spec.name},
    ).one_or_none()
    if found is None:
        log.info("Detected added collection %r", spec.name)
        key = {column.name: _type(column) for column in table.primary_key.columns}
        upgrade.ops.append(CreateCollectionOp(replace(spec, key=key)))
        return
    if (found.model, found.dimensions) != (spec.model, spec.dimensions):
        raise MigrationError(
            f'collection "{spec.name}" is embedded by {found.model} ({found.dimensions} dimensions), the class says '
            f"{spec.model} ({spec.dimensions}); a collection's model never changes: declare a new collection, "
            "fill it, then switch to it"
        )
    _compare_settings(upgrade, spec, found)
    if (found.m, found.ef_construction) != (spec.m, spec.ef_construction):
        if found.quantization is not None:
            # op.replace_hnsw_index would build one over the vectors, which searches over bits do not read.
            raise MigrationError(
                f'collection "{spec.name}" has an index over bits with m={found.m}, ef_construction={found.ef_construction}, the '
                f"class says m={spec.m}, ef_construction={spec.ef_construction}; run first: imgvec index rebuild {spec.name} "
                f"--m {spec.m} --ef-construction {spec.ef_construction}"
            )
        name = f"{spec.name}_embedding"
        new = HnswIndex(
            f"{name}_hnsw", name, "embedding", SCHEMA, m=spec.m, ef_construction=spec.ef_construction
        )
        old = replace(new, m=found.m, ef_construction=found.ef_construction)
        upgrade.ops.append(ReplaceHnswIndexOp(new, old))


def _compare_settings(upgrade: ops.UpgradeOps, spec: CollectionSpec, found: Any) -> None:  # noqa: ANN401
    """Alter a collection whose folder or URLs are declared otherwise."""
    there = {"root": found.root, "url_prefixes": list(found.url_prefixes)}
    declared = {"root": spec.root, "url_prefixes": list(spec.url_prefixes)}
    # A declaration with neither says nothing of where the pictures are.
    says_where = spec.root is not None or bool(spec.url_prefixes)
    changed = [name for name in ALTERABLE if says_where and there[name] != declared[name]]
    if changed:
        log.info("Detected changed %s of collection %r", " and ".join(changed), spec.name)
        settings, old = ({name: values[name] for name in changed} for values in (declared, there))
        upgrade.ops.append(AlterCollectionOp(spec.name, settings, old))


def _type(column: sa.Column[Any]) -> str:
    """Return a key column's type as PostgreSQL names it."""
    name = column.type.compile(postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    return {"varchar": "character varying"}.get(name, name)


def _metadatas(context: "AutogenContext") -> list[sa.MetaData]:
    metadata = context.metadata
    if metadata is None:
        return []
    return list(metadata) if isinstance(metadata, list | tuple) else [metadata]  # type: ignore[list-item]


def _import_vector_types(context: "AutogenContext") -> None:
    """Have pgvector imported by the revisions that name its types: Alembic asks the dialect for each type that it writes."""
    impl = context.migration_context.impl
    ask = impl.render_type

    def render_type(type_: Any, autogen_context: "AutogenContext") -> Any:  # noqa: ANN401
        if type(type_).__module__.startswith("pgvector."):
            autogen_context.imports.add(PGVECTOR_IMPORT)
        return ask(type_, autogen_context)

    impl.render_type = render_type  # type: ignore[method-assign, assignment]


def _is_among(table: sa.Table, names: set[Any], context: "AutogenContext") -> bool:
    default = _default(context)
    return bool(
        {(table.schema, table.name), (None if table.schema == default else table.schema, table.name)} & names
    )


def _default(context: "AutogenContext") -> str | None:
    return context.dialect.default_schema_name if context.dialect is not None else None
