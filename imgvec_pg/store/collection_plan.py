"""Whether a spec fits its source, and the collection that it would make there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.source import ImageColumns, Source, describe_source, no_such_column
from imgvec_pg.store.spec import CollectionSpec

DOLLAR_QUOTE = re.compile(r"\$\w*\$")


@dataclass(frozen=True)
class CollectionPlan:
    """A source as the catalogue has it, and the collection (id 0) that would be made over it."""

    source: Source
    collection: Collection


def plan_collection(connection: Connection, spec: CollectionSpec) -> CollectionPlan:
    """Check a spec against its source in the database; changes nothing.

    Raises:
        CollectionError, UsageError, ModelNotFoundError: It cannot be made as declared.
    """
    spec = spec.resolve()
    source = describe_source(connection, str(spec.source), tuple(spec.key_types))
    return CollectionPlan(source, collection_over(source, spec))


def collection_over(source: Source, spec: CollectionSpec) -> Collection:
    """Check a resolved spec against its source and return the collection it would make (id 0).

    Raises:
        CollectionError, UsageError: It cannot be made as declared.
    """
    assert spec.model is not None  # noqa: S101 - CollectionSpec.resolve() has seen to these
    assert spec.dimensions is not None  # noqa: S101
    columns = _check_columns(source, spec)
    _check_foreign_key(source, spec)
    return Collection(
        id=0,
        name=spec.name,
        model_id=0,
        model_name=spec.model,
        dimensions=spec.dimensions,
        has_text=bool(spec.has_text),
        source_schema=source.schema,
        source_name=source.name,
        shown_source=source.shown,
        key_columns=[column.name for column in source.key],
        key_types=[column.type_name for column in source.key],
        key_equality_schemas=[column.equality_schema for column in source.key],
        key_kinds=[column.kind for column in source.key],
        path_column=columns.path,
        content_column=columns.content,
        watch_columns=list(dict.fromkeys((*columns.names, *spec.watch))),
        root=spec.root,
        has_foreign_key=spec.foreign_key,
        m=spec.m,
        ef_construction=spec.ef_construction,
        ef_search=None,
        quantization=spec.quantization,
        prompt=spec.prompt,
        is_listed=False,
        url_prefixes=list(spec.url_prefixes),
        partitions=spec.partitions,
        reads_as=source.reads_as,
        is_partitioned=source.kind == "partitioned table",
    )


def _check_columns(source: Source, spec: CollectionSpec) -> ImageColumns:
    """Return the image columns, after a look at all columns that are named."""
    shown = source.shown
    if source.schema == "imgvec" and source.name != "image":
        raise CollectionError(
            f"{shown} is imgvec's own and no source of pictures; of this schema only imgvec.image is one (--library)"
        )
    _check_quotable(shown, [source.schema, source.name, *source.columns])
    columns = source.image_columns(spec.image_columns)
    if columns.path is not None and spec.root is None and not spec.url_prefixes:
        raise UsageError(
            f'column "{columns.path}" holds paths; say which folder they are under with --root DIR (root=) '
            "(the worker reads no file outside it), or which URLs it may fetch with --url PREFIX (url_prefixes=)"
        )
    for column in spec.watch:
        if column not in source.columns:
            raise CollectionError(no_such_column(shown, column, source.columns))
    for column in (*columns.names, *spec.watch, *(key.name for key in source.key)):
        if column in source.virtual_columns:
            raise CollectionError(
                f'column "{column}" of {shown} is GENERATED … VIRTUAL, which PostgreSQL does not hand to triggers; make it '
                "STORED, or name the column that it is made of"
            )
    return columns


def _check_quotable(shown: str, names: Sequence[str]) -> None:
    """Refuse names that would end the quoted body of a function which mentions them."""
    for name in names:
        if DOLLAR_QUOTE.search(name):
            raise CollectionError(
                f'the name "{name}" of {shown} holds a dollar quote, which functions cannot mention safely; '
                "make a view with other names and use --no-fk"
            )


def _check_foreign_key(source: Source, spec: CollectionSpec) -> None:
    if not spec.foreign_key:
        return
    if not source.can_have_triggers:
        raise CollectionError(
            f"{source.shown} is a {source.kind}, which a foreign key cannot point to; add --no-fk "
            "(changes are then found by imgvec collection reconcile)"
        )
    if not source.has_unique_key:
        raise CollectionError(
            f"{source.shown} has no primary key of {', '.join(spec.key_types)}, which is what a foreign key points to; add one, "
            "leave out --key, or add --no-fk"
        )
