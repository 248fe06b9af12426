"""Rename a collection, and follow columns of its source that were renamed, with all its embeddings."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import (
    Connection,
    lock_timeout,
    one_line,
    pinned_search_path,
    vector_schema,
)
from imgvec_pg.database.function_names import SEARCH_FUNCTIONS, SUPERSEDED_SEARCH
from imgvec_pg.database.sql_templates import render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.aliases import alias_parts, alias_statements, find_aliases
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import (
    picture_triggers,
    table_comment,
    trigger_functions,
    triggered_tables,
)
from imgvec_pg.store.radius.coordinate_tables import (
    coordinate_triggers,
    dropping_coordinates,
    renaming_coordinates,
)
from imgvec_pg.store.registry import find_collections, get_collection
from imgvec_pg.store.search_functions import (
    dropping_duplicates,
    dropping_map,
    renaming_duplicates,
    renaming_map,
    render_function,
)
from imgvec_pg.store.spec import check_name


def rename_collection(
    connection: Connection, collection: Collection, name: str, *, lock_timeout_ms: int = 2000
) -> Collection:
    """Give a collection another name, in one transaction; views over its functions and its aliases follow.

    It takes ACCESS EXCLUSIVE on the source and the embedding table for a moment. Workers of the old name end, those of an
    alias go on. Applications that call near_<old name> have to be changed with it.

    Raises:
        UsageError: Not a name for a collection.
        CollectionError: The name is taken, or the role does not own what is renamed; nothing was changed.
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    check_name(name)
    if found := find_collections(connection, name):
        what = "a collection" if found[0].name == name else f"an alias of {found[0].name}"
        raise CollectionError(f'collection {collection.name} cannot become "{name}", which is {what} already')
    with _changing(connection, collection, lock_timeout_ms):
        place = Place.of(connection, collection)
        for statement in renaming(collection, name, place):
            connection.execute(statement)
    return get_collection(connection, name)


def follow_columns(
    connection: Connection, collection: Collection, names: Mapping[str, str], *, lock_timeout_ms: int = 2000
) -> Collection:
    """Have a collection know columns of its source by their new names, in one transaction; nothing is embedded anew.

    Where key columns were renamed, the embedding table's are too, and the functions that return them are made anew.

    Args:
        names: New names by old ones; those that the collection does not use are left out.

    Raises:
        CollectionError: The application's own objects need functions that return a renamed key; nothing was changed.
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    with _changing(connection, collection, lock_timeout_ms):
        for statement in following(collection, names, Place.of(connection, collection)):
            connection.execute(statement)
    return get_collection(connection, collection.name)


@dataclass(frozen=True)
class Place:
    """What the database knows around a collection.

    Attributes:
        vector: The schema that holds the vector extension.
        tables: Schema and name of those that carry its triggers.
        aliases: Names that point to it.
    """

    vector: str
    tables: Sequence[tuple[str, str]]
    aliases: Sequence[str]

    @classmethod
    def of(cls, connection: Connection, collection: Collection) -> "Place":
        """Look it up."""
        aliases = [alias.name for alias in find_aliases(connection, collection_id=collection.id)]
        return cls(vector_schema(connection), list(triggered_tables(connection, collection)), aliases)


def renaming(collection: Collection, name: str, place: Place) -> list[sql.Composed]:
    """Return the statements that rename a collection."""
    renamed = replace(collection, name=name)
    patterns = [*SEARCH_FUNCTIONS.values(), SUPERSEDED_SEARCH]
    objects = render(
        "collection/rename_objects.sql",
        old_table=sql.Literal(collection.embedding_table),
        new_table=sql.Literal(renamed.embedding_table),
        old_key_type=sql.Literal(f"{collection.name}_key"),
        new_key_type=sql.Literal(f"{name}_key"),
        old_functions=sql.Literal([pattern.format(collection.name) for pattern in patterns]),
        new_functions=sql.Literal([pattern.format(name) for pattern in patterns]),
        new_name=sql.Literal(name),
        collection_id=sql.Literal(collection.id),
    )
    duplicates = renaming_duplicates(collection.name, name)
    pictures = _rename_pictures(collection, renamed, place) if collection.by_picture else []
    has_index = collection.has_radius_index
    return [
        *_without_triggers(collection, place),
        # One that a stopped command left is not worth a name.
        *([] if has_index else [dropping_coordinates(collection)]),
        sql.Composed([collection.parts_without_source("public")["drop_unfinished"]]),
        objects,
        duplicates,
        renaming_map(collection.name, name),
        *(renaming_coordinates(collection, name, place.vector) if has_index else []),
        *pictures,
        *_made_anew(renamed, place),
    ]


def _rename_pictures(collection: Collection, renamed: Collection, place: Place) -> list[sql.Composed]:
    """Return the statements that rename its different pictures, and make anew what names them."""
    functions = ("{}_on_picture", "{}_on_unknown_picture")
    objects = render(
        "collection/rename_pictures.sql",
        old_table=sql.Literal(collection.picture_table),
        new_table=sql.Literal(renamed.picture_table),
        old_functions=sql.Literal([pattern.format(collection.name) for pattern in functions]),
        new_functions=sql.Literal([pattern.format(renamed.name) for pattern in functions]),
    )
    return [objects, picture_triggers(renamed, place.vector)]


def following(collection: Collection, names: Mapping[str, str], place: Place) -> list[sql.Composed]:
    """Return the statements by which a collection follows renamed columns; none where it does not use them."""
    used = {*collection.key_columns, *collection.watch_columns}
    names = {old: new for old, new in names.items() if old in used and old != new}
    if not names:
        return []
    followed = replace(
        collection,
        key_columns=[names.get(name, name) for name in collection.key_columns],
        watch_columns=[names.get(name, name) for name in collection.watch_columns],
        path_column=names.get(collection.path_column or "", collection.path_column),
        content_column=names.get(collection.content_column or "", collection.content_column),
        partition_by=names.get(collection.partition_by or "", collection.partition_by),
    )
    registered = render(
        "collection/rename_columns.sql",
        key_columns=sql.Literal(list(followed.key_columns)),
        watch_columns=sql.Literal(list(followed.watch_columns)),
        path_column=sql.Literal(followed.path_column),
        content_column=sql.Literal(followed.content_column),
        names=sql.Literal(json.dumps(names)),
        collection_id=sql.Literal(collection.id),
    )
    keys = {old: new for old, new in names.items() if old in collection.key_columns}
    moved = _rename_keys(collection, keys, place) if keys else []
    if keys and collection.has_radius_index:
        moved.append(coordinate_triggers(followed, place.vector))
    return [*_without_triggers(collection, place), registered, *moved, *_made_anew(followed, place)]


def _around_coordinates(
    collection: Collection, keys: Mapping[str, str], renamed: sql.Composed
) -> list[sql.Composed]:
    """Rename keys, and the column of coordinates where it gives way to one of them or has its own name back."""
    followed = replace(collection, key_columns=[keys.get(name, name) for name in collection.key_columns])
    old, new = (each.key_sql.beside("coordinates") for each in (collection, followed))
    if not collection.has_radius_index or old == new:
        return [renamed]
    table = sql.Identifier("imgvec", f"{collection.name}_coordinates")
    moving = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    between = sql.Identifier("imgvec_coordinates")
    return [moving.format(table, old, between), renamed, moving.format(table, between, new)]


def _rename_keys(collection: Collection, keys: Mapping[str, str], place: Place) -> list[sql.Composed]:
    """Rename the embedding table's key, and drop the functions that return the old one."""
    owners = [collection.name, *place.aliases]
    functions = [pattern.format(owner) for owner in owners for pattern in SEARCH_FUNCTIONS.values()]
    renamed = render(
        "collection/rename_keys.sql",
        names=sql.Literal(json.dumps(keys)),
        tables=sql.Literal([collection.embedding_table, f"{collection.name}_coordinates"]),
        key_types=sql.Literal([f"{owner}_key" for owner in owners]),
        collection_id=sql.Literal(collection.id),
    )
    return [
        render("collection/drop_functions.sql", function_names=sql.Literal(functions)),
        dropping_duplicates(collection.name),
        dropping_map(collection.name),
        *([] if collection.has_radius_index else [dropping_coordinates(collection)]),
        *_around_coordinates(collection, keys, renamed),
    ]


@contextmanager
def _changing(connection: Connection, collection: Collection, lock_timeout_ms: int) -> Iterator[None]:
    """Run one transaction, and tell what PostgreSQL refuses."""
    try:
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            yield
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = ", ".join((error.diag.message_detail or one_line(error)).splitlines())
        raise CollectionError(
            f"functions of collection {collection.name} are needed as they are ({detail}); drop that first. "
            "Nothing was changed"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not rename collection {collection.name} ({one_line(error)}); it must own "
            "the source and the schema imgvec. Nothing was changed"
        ) from error


def _without_triggers(collection: Collection, place: Place) -> list[sql.Composed]:
    """Drop triggers and their functions: their bodies are text."""
    parts = collection.parts_without_source("public")
    return [
        *(
            render("collection/drop_triggers.sql", **parts, table=sql.Identifier(*table))
            for table in place.tables
        ),
        render("collection/drop_functions.sql", function_names=parts["trigger_function_names"]),
    ]


def _made_anew(collection: Collection, place: Place) -> list[sql.Composed]:
    """Make the triggers, and make or replace the search functions, of a collection and its aliases."""
    if collection.source_name is None:
        return []
    parts = {**collection.parts(place.vector), "create": sql.SQL("CREATE OR REPLACE FUNCTION")}
    made = [render_function(file, parts) for file in (*collection.function_files, "grants")]
    for alias in place.aliases:
        made += alias_statements(collection, alias_parts(collection, alias, place.vector, replace=True))
    made.append(
        sql.SQL("COMMENT ON TABLE imgvec.{} IS {}").format(
            sql.Identifier(collection.embedding_table), sql.Literal(table_comment(collection))
        )
    )
    made.append(trigger_functions(collection, place.vector))
    made += [
        render("collection/triggers.sql", **parts, table=sql.Identifier(*table)) for table in place.tables
    ]
    return made
