"""Autogenerate comparators: HNSW indexes whose options changed, collections that are declared and missing.

It runs after Alembic's own comparison and corrects its result: nothing of the schema imgvec is the application's.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

from imgvec_pg.alembic.alter_collection import AlterCollectionOp
from imgvec_pg.alembic.alter_collection_key import (
    AlterCollectionKeyOp,
    HideEmbeddingsOp,
    find_collection,
    policy_state,
)
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
from imgvec_pg.database.connect import one_line
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_plan import (
    ALTERABLE,
    Differences,
    check_paths_lead_somewhere,
    differences,
    tell_differences,
    tell_remedy,
)
from imgvec_pg.store.guarded_columns import full_name
from imgvec_pg.store.mixin import INFO, SCHEMA, SPEC
from imgvec_pg.store.spec import CollectionSpec

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

# Below Alembic's own, which is the one that an alembic.ini shows.
log = logging.getLogger("alembic.imgvec_pg")

INDEX_OPTIONS = ("m", "ef_construction")
"""Fields of a CollectionSpec that op.replace_hnsw_index changes."""


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
        MigrationError: It differs from its declaration in what no operation changes. Not to be told is worse than to be
            stopped: `alembic check` would say that nothing differs.
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
    spec = replace(spec, key=_key(table, spec))
    found = find_collection(connection, spec.name)
    if found is None:
        log.info("Detected added collection %r", spec.name)
        upgrade.ops.append(CreateCollectionOp(spec))
        return
    present = found.spec()
    changed = differences(present, replace(spec, source=_same_source(connection, present, spec)))
    is_hnsw = (found.index_method, spec.index_method) == ("hnsw", "hnsw")
    in_place = {
        *ALTERABLE,
        *(INDEX_OPTIONS if (found.quantization, spec.quantization) == (None, None) and is_hnsw else ()),
    }
    # Of an index over bits or of another method, op.replace_hnsw_index would build one of HNSW over the vectors.
    if refused := {field: pair for field, pair in changed.items() if field not in in_place}:
        raise MigrationError(
            f'collection "{spec.name}" is not as declared: {tell_differences(refused)}; {tell_remedy(spec.name, refused)}'
        )
    _follow_key(context, upgrade, found)
    _alter(upgrade, spec, {field: pair for field, pair in changed.items() if field in ALTERABLE}, found)
    if not changed.keys().isdisjoint(INDEX_OPTIONS):
        name = found.embedding_table
        index = HnswIndex(f"{name}_hnsw", name, "embedding", SCHEMA)
        new = replace(index, m=spec.m, ef_construction=spec.ef_construction)
        old = replace(index, m=found.m, ef_construction=found.ef_construction)
        upgrade.ops.append(ReplaceHnswIndexOp(new, old))


def _follow_key(context: "AutogenContext", upgrade: ops.UpgradeOps, found: Collection) -> None:
    """Follow a source whose key is of another type already, or will be by what Alembic has found."""
    types = list(found.source_key_types or found.key_types)
    key = dict(zip(found.key_columns, types, strict=True))
    is_altered_here = False
    for op in upgrade.ops:
        if not isinstance(op, ops.ModifyTableOps) or op.table_name != found.source_name:
            continue
        if (op.schema or _default(context)) != found.source_schema:
            continue
        for change in op.ops:
            if isinstance(change, ops.AlterColumnOp) and change.column_name in key and change.modify_type:
                key[change.column_name] = _type_name(change.modify_type)
                is_altered_here = True
    before = dict(zip(found.key_columns, found.key_types, strict=True))
    if changed := {column: type_name for column, type_name in key.items() if type_name != before[column]}:
        log.info("Detected changed key type of collection %r", found.name)
        assert context.connection is not None  # noqa: S101 - autogenerate runs online
        if is_altered_here and policy_state(context.connection, found).follows_source:
            upgrade.ops.insert(0, HideEmbeddingsOp(found.name))
        upgrade.ops.append(
            AlterCollectionKeyOp(found.name, changed, {name: before[name] for name in changed})
        )


def _alter(upgrade: ops.UpgradeOps, spec: CollectionSpec, changed: Differences, found: Collection) -> None:
    """Alter a collection whose folder or URLs are declared otherwise, or no longer.

    Raises:
        MigrationError: Its paths would lead nowhere.
    """
    if changed:
        with telling():
            check_paths_lead_somewhere(found.path_column, spec)
        log.info("Detected changed %s of collection %r", " and ".join(changed), spec.name)
        old, settings = ({name: _plain(pair[side]) for name, pair in changed.items()} for side in (0, 1))
        upgrade.ops.append(AlterCollectionOp(spec.name, settings, old))


def _same_source(connection: sa.Connection, present: CollectionSpec, spec: CollectionSpec) -> str | None:
    """Return the declared source by its registered name, where both mean one relation; else as it is declared."""
    if present.source is None:
        return spec.source
    try:
        is_same = connection.execute(
            sa.text("SELECT to_regclass(:declared)::oid = to_regclass(:registered)::oid"),
            {"declared": spec.source, "registered": present.source},
        ).scalar()
    except sa.exc.DBAPIError as error:
        raise MigrationError(
            f'the source of collection "{spec.name}", {spec.source!r}, cannot be looked up ({one_line(error.orig or error)}); '
            "expected schema.table, quoted as in SQL"
        ) from error
    return present.source if is_same else spec.source


def _key(table: sa.Table, spec: CollectionSpec) -> Mapping[str, str | None]:
    """Return the key with its types, as the class has it, unless it declares other columns."""
    primary = {column.name: _type(column) for column in table.primary_key.columns}
    return primary if set(spec.key_types) <= set(primary) else spec.key_types


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _type(column: sa.Column[Any]) -> str:
    """Return a key column's type as PostgreSQL names it."""
    return _type_name(column.type)


def _type_name(kind: Any) -> str:  # noqa: ANN401 - a type of SQLAlchemy's
    return full_name(kind.compile(postgresql.dialect()))  # type: ignore[no-untyped-call]


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
