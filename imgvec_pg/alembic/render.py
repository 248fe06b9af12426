"""Renderers: how autogenerate writes the operations into a revision, with the imports that they need."""

import dataclasses
from typing import TYPE_CHECKING

from alembic.autogenerate import renderers

from imgvec_pg.alembic.alter_collection import AlterCollectionOp
from imgvec_pg.alembic.alter_collection_key import AlterCollectionKeyOp, HideEmbeddingsOp, ShowEmbeddingsOp
from imgvec_pg.alembic.collection_ops import OPERATIONS, CollectionOperation
from imgvec_pg.alembic.index_ops import (
    OPCLASS,
    CreateHnswIndexOp,
    DropHnswIndexOp,
    HnswIndex,
    ReplaceHnswIndexOp,
)
from imgvec_pg.store.spec import CollectionSpec

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

PGVECTOR_IMPORT = "import pgvector.sqlalchemy"
OPERATIONS_IMPORT = (
    "import imgvec_pg.alembic.plugin  # noqa: F401 - op.create_collection, op.create_hnsw_index"
)


@renderers.dispatch_for(CreateHnswIndexOp)
def render_create(context: "AutogenContext", operation: CreateHnswIndexOp) -> str:
    """Write op.create_hnsw_index(…)."""
    context.imports.add(OPERATIONS_IMPORT)
    index = operation.index
    return _call(context, "create_hnsw_index", [index.name, index.table, index.column], _options(index))


@renderers.dispatch_for(ReplaceHnswIndexOp)
def render_replace(context: "AutogenContext", operation: ReplaceHnswIndexOp) -> str:
    """Write op.replace_hnsw_index(…), with what it changes as it was."""
    context.imports.add(OPERATIONS_IMPORT)
    index = operation.index
    options = {**_options(index), "old": operation.changed}
    return _call(context, "replace_hnsw_index", [index.name, index.table, index.column], options)


@renderers.dispatch_for(DropHnswIndexOp)
def render_drop(context: "AutogenContext", operation: DropHnswIndexOp) -> str:
    """Write op.drop_hnsw_index(…), with the index as it was."""
    context.imports.add(OPERATIONS_IMPORT)
    index = operation.index
    options = {"table_name": index.table, "column": index.column, **_options(index)}
    return _call(context, "drop_hnsw_index", [index.name], options)


@renderers.dispatch_for(AlterCollectionOp)
def render_alter(context: "AutogenContext", operation: AlterCollectionOp) -> str:
    """Write op.alter_collection(…), with what it changes as it was."""
    context.imports.add(OPERATIONS_IMPORT)
    return _call(context, "alter_collection", [operation.name], {**operation.settings, "old": operation.old})


@renderers.dispatch_for(AlterCollectionKeyOp)
def render_alter_key(context: "AutogenContext", operation: AlterCollectionKeyOp) -> str:
    """Write op.alter_collection_key(…), with the types as they were."""
    context.imports.add(OPERATIONS_IMPORT)
    return _call(
        context, "alter_collection_key", [operation.name], {"key": operation.key, "old": operation.old}
    )


@renderers.dispatch_for(HideEmbeddingsOp)
@renderers.dispatch_for(ShowEmbeddingsOp)
def render_named(context: "AutogenContext", operation: HideEmbeddingsOp | ShowEmbeddingsOp) -> str:
    """Write op.hide_embeddings(…) or op.show_embeddings(…)."""
    context.imports.add(OPERATIONS_IMPORT)
    return _call(context, operation.operation, [operation.name], {})


def render_collection(context: "AutogenContext", operation: CollectionOperation) -> str:
    """Write op.create_collection(…) and its kin, with the fields that are not the default."""
    context.imports.add(OPERATIONS_IMPORT)
    spec = operation.spec
    plain = CollectionSpec(spec.name)
    given = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    options = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name != "name" and value != getattr(plain, name)
    }
    return _call(context, operation.name, [spec.name], options)


for operation_class in OPERATIONS.values():
    renderers.dispatch_for(operation_class)(render_collection)


def _options(index: HnswIndex) -> dict[str, object]:
    schema = {"schema": index.schema} if index.schema else {}
    opclass = {"opclass": index.opclass} if index.opclass != OPCLASS else {}
    concurrently = {} if index.concurrently else {"concurrently": False}
    return {**schema, **opclass, "m": index.m, "ef_construction": index.ef_construction, **concurrently}


def _call(context: "AutogenContext", name: str, arguments: list[str], options: dict[str, object]) -> str:
    prefix = context.opts["alembic_module_prefix"] or ""
    parts = [*map(repr, arguments), *(f"{key}={value!r}" for key, value in options.items())]
    return f"{prefix}{name}({', '.join(parts)})"
