"""Whether a spec fits its source, the collection that it would make there, and how one that is there differs from it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.partitioning import tenant_not_in_key
from imgvec_pg.database.sql_templates import render
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.source import ImageColumns, Source, describe_source, no_such_column
from imgvec_pg.store.spec import CollectionSpec, as_tuple, find_problems

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
    keys = [column.name for column in source.key]
    if spec.partition_by is not None and (spec.partition_by not in keys or len(keys) == 1):
        raise CollectionError(tenant_not_in_key(source.shown, spec.partition_by, keys, list(source.columns)))
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
        index_method=spec.index_method,
        lists=spec.lists,
        prompt=spec.prompt,
        is_listed=False,
        url_prefixes=list(spec.url_prefixes),
        partitions=spec.partitions,
        partition_by=spec.partition_by,
        bands=tuple(spec.bands),
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
    check_paths_lead_somewhere(columns.path, spec)
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


def check_paths_lead_somewhere(path_column: str | None, spec: CollectionSpec) -> None:
    """Refuse a spec over a column with paths that says neither a folder nor URLs.

    Raises:
        UsageError: It says neither.
    """
    if path_column is not None and spec.root is None and not spec.url_prefixes:
        raise UsageError(
            f'column "{path_column}" holds paths; say which folder they are under with --root DIR (root=) '
            "(the worker reads no file outside it), or which URLs it may fetch with --url PREFIX (url_prefixes=)"
        )


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


Differences = Mapping[str, tuple[Any, Any]]
"""By the names of CollectionSpec's fields: what is registered, and what is declared."""

NOT_COMPARED = {"name": "the collection was found by it"}
"""Fields that a declaration and its collection need not agree in, and why."""
UNSAID: dict[str, tuple[object, ...]] = {"dimensions": (None,), "has_text": (None,), "key": ({}, ())}
"""Values by which a declaration leaves a field to the model, or to the source's primary key."""
MEANINGS: dict[str, Callable[[CollectionSpec], object]] = {
    # Which of two is the one with paths the source's types say.
    "image": lambda spec: set(spec.image_columns),
    "watch": lambda spec: set(spec.watch) - set(spec.image_columns),
    # The types are the source's own; a declaration has them for SQL that is written without a database.
    "key": lambda spec: set(spec.key_types),
    "url_prefixes": lambda spec: set(spec.url_prefixes),
}
"""What is compared of a field, where its value can be written in several ways that mean the same."""
BY_REBUILDING = ("m", "ef_construction", "quantization", "index_method", "lists")
"""Fields that `imgvec index rebuild` changes."""
BY_THE_MODEL = ("model", "dimensions", "has_text")


def differences(registered: CollectionSpec, declared: CollectionSpec) -> Differences:
    """Compare a collection that is there with a declaration of it, field by field.

    Args:
        registered: Collection.spec().
        declared: Its source named as `registered` has it, where it is the same relation.
    """
    found = {}
    for field in fields(CollectionSpec):
        there, wanted = getattr(registered, field.name), getattr(declared, field.name)
        if field.name in NOT_COMPARED or wanted in UNSAID.get(field.name, ()):
            continue
        meaning = MEANINGS.get(field.name, lambda spec, name=field.name: getattr(spec, name))
        if meaning(registered) != meaning(declared):
            found[field.name] = (there, wanted)
    return found


def tell_differences(found: Differences) -> str:
    """Return them for people: "prompt is '{}', declared 'a photo of {}'; …"."""
    return "; ".join(f"{field} is {there!r}, declared {wanted!r}" for field, (there, wanted) in found.items())


def tell_remedy(name: str, found: Differences, program: str = "imgvec") -> str:
    """Return which commands make a collection what is declared, for differences that no migration changes in place.

    Args:
        program: How the command is called: "imgvec", "manage.py imgvec".
    """
    if set(found) <= set(BY_REBUILDING):
        wanted = {field: declared for field, (_, declared) in found.items()}
        words = [
            f"--{field.replace('_', '-')} {wanted[field]}"
            for field in ("m", "ef_construction")
            if field in wanted
        ]
        if "index_method" in wanted:
            words.append(f"--method {wanted['index_method']}")
        if wanted.get("lists") is not None:
            words.append(f"--lists {wanted['lists']}")
        if "quantization" in wanted:
            words.append(f"--quantize {wanted['quantization'] or 'none'}")
        return f"run first: {program} index rebuild {name} {' '.join(words)}"
    if set(found).isdisjoint(BY_THE_MODEL):
        reason = "these never change in a collection"
        beside = ""
        if "bands" in found:
            bands = ",".join(map(str, found["bands"][1])) or "none"
            beside = f" (behind an alias: {program} collection switch ALIAS --bands {bands})"
    else:
        reason = "a collection's model never changes"
        beside = f" (behind an alias: {program} collection switch ALIAS --to MODEL)"
    return (
        f"{reason}: declare one of another name and fill it beside this one{beside}, or first drop this one with its "
        f"embeddings: {program} collection drop {name}"
    )


ALTERABLE = ("root", "url_prefixes")
"""Fields of a CollectionSpec that can change while the collection holds embeddings: what its workers may read."""


def find_setting_problems(settings: Mapping[str, Any]) -> list[UsageError]:
    """Say why the settings of a collection cannot become these."""
    if not settings:
        return [UsageError(f"nothing is changed; expected {' or '.join(ALTERABLE)}")]
    if unknown := sorted(set(settings) - set(ALTERABLE)):
        return [UsageError(f"{unknown[0]} never changes in a collection; expected {' or '.join(ALTERABLE)}")]
    return find_problems(settings)


def alteration(name: str, settings: Mapping[str, Any]) -> sql.Composed:
    """Return the statement that gives a collection another root or other URL prefixes.

    Args:
        settings: Some of ALTERABLE, at least one.
    """
    values = dict(settings)
    if "url_prefixes" in values:
        values["url_prefixes"] = list(as_tuple(values["url_prefixes"]))
    pairs = [
        sql.SQL("{} = {}").format(sql.Identifier(field), sql.Literal(value))
        for field, value in values.items()
    ]
    return render(
        "collection/alter.sql", settings=sql.SQL(", ").join(pairs), collection_name=sql.Literal(name)
    )
