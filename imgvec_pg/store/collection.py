"""A collection as a value, and the pieces of SQL that its key and source become."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.function_names import SEARCH_FUNCTIONS, function_files
from imgvec_pg.database.index_methods.hnsw import BIT_OVERFETCH
from imgvec_pg.database.partitioning import tenant_parts
from imgvec_pg.database.radius_bound import radius_bound
from imgvec_pg.database.sql_templates import render
from imgvec_pg.errors import CollectionError
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.version import NEWEST
from imgvec_pg.store.guarded_columns import guarded_column, image_column
from imgvec_pg.store.key_sql import KeySql
from imgvec_pg.store.search_functions import object_names, ranking_parts, trigger_function_names
from imgvec_pg.store.spec import CollectionSpec

KEYS_PER_JOB = 64
"""Keys enqueued together, the most that one transaction writes: a live HNSW index takes about 640 rows a second."""


@dataclass(frozen=True)
class Collection:
    """One image source embedded by one model, as the registry has it. Field names are the registry's columns.

    Attributes:
        shown_source: The source relation for people, quoted where SQL wants it; "(dropped)" when it is gone.
        partitions: Hash partitions of the embedding table, as the catalogue has them.
        partition_by: The key column that divides it, by hash or into large tenants and others; None for none or all.
        key_kinds: Of each key type, as store/guarded_columns.py has them.
        source_key_types: What the source's key columns are now, where they became wider or narrower than key_types.
        is_partitioned: Whether the source is a partitioned table.
        rendering, bands: By which its pictures are rendered: the version of the rules; of TIFFs the bands, as CollectionSpec's.
        by_picture: Whether searches ask an index over its different pictures, in place of one over its rows; of HNSW only.
        index_method: The access method that its index is built with: "hnsw" or "ivfflat".
        lists: Of an IVFFlat index; None for as many as suit the rows at each build.
        probes: How many of them searches read; None for the root of the lists.
        has_radius_index: Whether within_* ask coordinates along a few axes, kept in step by triggers, in place of all vectors.
        rendering_from: The version of rows that `imgvec retry --rendering` has not compared yet; None where it is not under way.
        reads_as: The role whose rights the source is read with, None for this session's own.
    """

    id: int
    name: str
    model_id: int
    model_name: str
    dimensions: int
    has_text: bool
    source_schema: str | None
    source_name: str | None
    shown_source: str
    key_columns: Sequence[str]
    key_types: Sequence[str]
    key_equality_schemas: Sequence[str]
    path_column: str | None
    content_column: str | None
    watch_columns: Sequence[str]
    root: str | None
    has_foreign_key: bool
    m: int
    ef_construction: int
    ef_search: int | None
    quantization: str | None
    prompt: str
    is_listed: bool
    url_prefixes: Sequence[str] = ()
    partitions: int = 0
    partition_by: str | None = None
    key_kinds: Sequence[str] = ()
    reads_as: str | None = None
    is_partitioned: bool = False
    source_key_types: Sequence[str] = ()
    rendering: int = NEWEST
    rendering_from: int | None = None
    bands: Bands = ()
    by_picture: bool = False
    index_method: str = "hnsw"
    lists: int | None = None
    probes: int | None = None
    has_radius_index: bool = False

    def spec(self) -> CollectionSpec:
        """Return what would make this collection again; its source is None where it was dropped."""
        images = tuple(column for column in (self.path_column, self.content_column) if column is not None)
        return CollectionSpec(
            name=self.name,
            source=None if self.source_name is None else self.shown_source,
            image=images,
            model=self.model_name,
            dimensions=self.dimensions,
            has_text=self.has_text,
            root=self.root,
            url_prefixes=self.url_prefixes,
            watch=[column for column in self.watch_columns if column not in images],
            key=dict(zip(self.key_columns, self.key_types, strict=True)),
            foreign_key=self.has_foreign_key,
            m=self.m,
            ef_construction=self.ef_construction,
            quantization=self.quantization,
            index_method=self.index_method,
            lists=self.lists,
            partitions=self.partitions,
            partition_by=self.partition_by,
            prompt=self.prompt,
            bands=self.bands,
        )

    @property
    def embedding_table(self) -> str:
        """Name of the embedding table in the schema imgvec."""
        return f"{self.name}_embedding"

    @property
    def picture_table(self) -> str:
        """Name of the table of its different pictures, which only collections with copies have."""
        return f"{self.name}_picture"

    @property
    def indexed_table(self) -> str:
        """Name of the table that has the index."""
        return self.picture_table if self.by_picture else self.embedding_table

    @property
    def is_split_by_tenant(self) -> bool:
        """Whether large tenants have partitions of their own, each with an index; all others share one, without."""
        return self.partition_by is not None and self.partitions == 0

    @property
    def function_files(self) -> list[str]:
        """Files of sql/collection that make its search functions."""
        return function_files(self.quantization, by_tenant=self.partition_by is not None)

    @property
    def source(self) -> sql.Identifier:
        """The source relation, quoted with its schema.

        Raises:
            CollectionError: The source was dropped.
        """
        if self.source_schema is None or self.source_name is None:
            raise CollectionError(
                f'the source table of collection "{self.name}" no longer exists; run: imgvec collection drop {self.name}'
            )
        return sql.Identifier(self.source_schema, self.source_name)

    @property
    def has_other_key_types(self) -> bool:
        """Whether the source's key columns have become of wider or narrower types than the embedding table's."""
        return bool(self.source_key_types) and list(self.source_key_types) != list(self.key_types)

    @property
    def forgets_by_key(self) -> bool:
        """Whether a foreign key forgets the embeddings of rows that go, and not the triggers.

        Never over partitions: it would go with the first of them that is dropped with CASCADE, and refuse DETACH.
        """
        return self.has_foreign_key and not self.is_partitioned

    @property
    def reader(self) -> sql.Identifier:
        """The session's own function that reads the source as its owner, where reads_as says so."""
        return sql.Identifier("pg_temp", f"imgvec_source_{self.id}")

    @property
    def rows(self) -> sql.Composable:
        """What to select the source's rows from: itself, or `reader`."""
        return self.source if self.reads_as is None else sql.SQL("{}()").format(self.reader)

    @property
    def key_sql(self) -> KeySql:
        """The SQL of the key."""
        return KeySql(
            self.key_columns,
            self.key_types,
            self.key_equality_schemas,
            self.key_kinds,
            self.source_key_types or self.key_types,
        )

    def parts(self, vector: str) -> dict[str, sql.Composable]:
        """Return every `{part}` that the files in sql/collection may use.

        Args:
            vector: The schema that holds the vector extension.

        Raises:
            CollectionError: The source was dropped.
        """
        key = self.key_sql
        is_composite = len(self.key_columns) > 1
        among_type = sql.Identifier("imgvec", f"{self.name}_key") if is_composite else key.types
        return {
            **self.parts_without_source(vector),
            **key.parts(),
            **tenant_parts(self.partition_by, key, self.embedding_table, is_split=self.is_split_by_tenant),
            "among_type": among_type,
            "e_key_among": key.among("e") if is_composite else key.equal_any("e"),
            "e_key_among_2": key.among("e", 2) if is_composite else key.equal_any("e", 2),
            "e_key_among_5": key.among("e", 5) if is_composite else key.equal_any("e", 5),
            "e_key_after_4": key.after("e", 4),
            "e_key_equals_4": key.equals_value("e", 4),
            "v_key_looked_up": key.looked_up("v"),
            "e_key_looked_up": key.looked_up("e"),
            **key.found(),
            **{
                f"{name}_column": key.beside(name)
                for name in ("picture", "copies", "first_seen", "coordinates")
            },
            "source": self.rows,
            "relation": self.source,
            "s_equals_embedding": key.visible("s", ("imgvec", self.embedding_table)),
            "n_has_image": self._has_image("n"),
            "s_has_image": self._has_image("s"),
            "watched_differ": self._watched_differ(key),
            "path": image_column("s", self.path_column, "text"),
            "content": image_column("s", self.content_column, "bytea"),
            "s_reference_hash": self._reference_hash("s"),
        }

    def parts_without_source(self, vector: str) -> dict[str, sql.Composable]:
        """Return the `{parts}` that stay known when the source is dropped."""
        name = self.name
        functions = {part: pattern.format(name) for part, pattern in SEARCH_FUNCTIONS.items()}
        trigger_functions = trigger_function_names(name)
        names = {**functions, **trigger_functions, **object_names(name), "vector": vector}
        return {
            **{part: sql.Identifier(text) for part, text in names.items()},
            **ranking_parts(
                self.embedding_table, self.picture_table, self.key_columns, vector, by_picture=self.by_picture
            ),
            "create": sql.SQL("CREATE FUNCTION"),
            "function_names": sql.Literal(list(functions.values())),
            "trigger_function_names": sql.Literal(list(trigger_functions.values())),
            "collection_id": sql.Literal(self.id),
            "drop_unfinished": render("tenants/drop_unfinished.sql", collection_name=sql.Literal(name)),
            "collection_name": sql.Literal(self.name),
            "keys_per_job": sql.Literal(KEYS_PER_JOB),
            "dimensions": sql.Literal(self.dimensions),
            "has_radius_index": sql.Literal(self.has_radius_index),
            **radius_bound(self.dimensions).parts(),
            "m": sql.Literal(self.m),
            "ef_construction": sql.Literal(self.ef_construction),
            "overfetch": sql.Literal(BIT_OVERFETCH),
        }

    def _has_image(self, row: str) -> sql.Composed:
        """Whether a row has a picture: NULL is none, nor is '', which applications write for it too."""
        conditions = []
        if self.path_column is not None:
            path = guarded_column(row, self.path_column, "text")
            conditions.append(sql.SQL("{} OPERATOR(pg_catalog.<>) ''").format(path))
        if self.content_column is not None:
            content = guarded_column(row, self.content_column, "bytea")
            conditions.append(sql.SQL("pg_catalog.octet_length({}) OPERATOR(pg_catalog.>) 0").format(content))
        return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))

    @property
    def is_library(self) -> bool:
        """Whether the source is imgvec's own table of pictures, whose content_hash says what each picture is."""
        is_own = (self.source_schema, self.source_name) == ("imgvec", "image")
        return is_own and "content_hash" in self.watch_columns

    def _watched_differ(self, key: KeySql) -> sql.Composed:
        """Say that a row's picture may be another. One of the library that only moved, and is embedded, is not."""
        if not self.is_library:
            return sql.SQL(" OR ").join(map(self._differs, self.watch_columns))
        return sql.SQL(
            "{other} OR ({moved}) AND NOT EXISTS (SELECT FROM imgvec.{table} AS e WHERE {same_row} "
            "AND e.content_hash OPERATOR(pg_catalog.=) n.content_hash)"
        ).format(
            other=sql.SQL(" OR ").join(map(self._differs, self._said_beside_the_picture)),
            moved=sql.SQL(" OR ").join(map(self._differs, self._image_columns)),
            table=sql.Identifier(self.embedding_table),
            same_row=key.equal("e", "n"),
        )

    @property
    def _image_columns(self) -> list[str]:
        return [column for column in (self.path_column, self.content_column) if column is not None]

    @property
    def _said_beside_the_picture(self) -> list[str]:
        return [column for column in self.watch_columns if column not in self._image_columns]

    def _differs(self, column: str) -> sql.Composed:
        """Compare bytes as bytes, all else as exact text: not every type has an =, nor every collation an exact one."""
        collation = sql.SQL("" if column == self.content_column else ' COLLATE "C"')
        new, old = self._watched("n", column), self._watched("o", column)
        return sql.SQL("{}{collation} IS DISTINCT FROM {}{collation}").format(new, old, collation=collation)

    def _watched(self, row: str, column: str) -> sql.Composed:
        """Return the bytes, or text; what is no image column by its type's output function, in brackets."""
        if column == self.content_column:
            return guarded_column(row, column, "bytea")
        if column == self.path_column:
            return guarded_column(row, column, "text")
        return sql.SQL("ROW({})::pg_catalog.text").format(sql.Identifier(row, column))

    def _reference_hash(self, row: str) -> sql.Composed:
        """Hash what a row says of its picture: all watched columns, of the bytes their length, which costs no reading.

        The library's rows say it by content_hash alone: the same file elsewhere is the same picture.
        """
        columns = self._said_beside_the_picture if self.is_library else self.watch_columns
        values = sql.SQL(", ").join(
            sql.SQL("pg_catalog.octet_length({})").format(self._watched(row, column))
            if column == self.content_column
            else guarded_column(row, column, "text")
            if column == self.path_column
            else sql.Identifier(row, column)
            for column in columns
        )
        return sql.SQL("pg_catalog.sha256(pg_catalog.convert_to(ROW({})::text, 'UTF8'))").format(values)
