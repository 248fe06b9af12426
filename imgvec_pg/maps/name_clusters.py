"""What names a map's clusters: words that the collection's model knows, a column of the source, or numbers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import UsageError
from imgvec_pg.maps.clusters import Labels
from imgvec_pg.maps.layout import Floats
from imgvec_pg.maps.names import names_of_best_column, names_of_values, names_of_words, numbered
from imgvec_pg.search.display_columns import check_columns
from imgvec_pg.search.filters import find_filters
from imgvec_pg.search.operations.classify import embed_texts
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import printed

MOST_WORDS = 5000
FEWEST_WORDS = 2

Namer = Callable[[Sequence[bytes], Floats, Labels, int], tuple[list[str], str]]
"""From keys of a sample, their vectors (norm 1) and clusters, and the number of clusters, to names and what they are of."""


@dataclass(frozen=True)
class NameSource:
    """What may name clusters: words come before a column, a column before the best one there is.

    Attributes:
        words: In the model's language.
        column: Of the source.
        model: How to load the model for the words.
    """

    words: Sequence[str] = ()
    column: str | None = None
    model: ModelOptions = field(default_factory=ModelOptions)


def name_clusters(connection: Connection, collection: Collection, source: NameSource) -> Namer:
    """Check what shall name clusters, and embed its words, before anything is computed.

    Raises:
        UsageError: The words are too few or too many, the model knows none, or there is no such column.
        ModelError: The model cannot be loaded, or is not the one the collection was embedded with.
    """
    if source.words:
        words = list(dict.fromkeys(source.words))
        if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
            raise UsageError(
                f"there are {len(words):,} different words; expected {FEWEST_WORDS} to {MOST_WORDS:,}, one a line"
            )
        word_vectors = np.stack(embed_texts(connection, collection, words, source.model))

        def by_words(
            keys: Sequence[bytes], vectors: Floats, labels: Labels, count: int
        ) -> tuple[list[str], str]:
            return numbered(names_of_words(vectors, labels, words, word_vectors), count), "words"

        return by_words
    if source.column is not None:
        check_columns(connection, collection, [source.column])

    def by_column(
        keys: Sequence[bytes], vectors: Floats, labels: Labels, count: int
    ) -> tuple[list[str], str]:
        columns = [source.column] if source.column is not None else naming_columns(connection, collection)
        values = read_values(connection, collection, keys, columns)
        if source.column is not None:
            column, names = source.column, names_of_values(values[source.column], labels)[0]
        else:
            best, names = names_of_best_column(values, labels)
            column = best or ""
        return numbered(names, count), f"column {column}" if any(names) else "numbers"

    return by_column


def naming_columns(connection: Connection, collection: Collection) -> list[str]:
    """Return the source's columns of text and of categories that this role may read; no keys, no paths."""
    found = find_filters(connection, collection)
    return [one.name for one in found if one.kind in {"category", "text"}]


def read_values(
    connection: Connection, collection: Collection, keys: Sequence[bytes], columns: Sequence[str]
) -> Mapping[str, Sequence[str | None]]:
    """Return the values of columns as text for some rows, in their order; None where a row is gone or has none."""
    values: dict[str, list[str | None]] = {column: [None] * len(keys) for column in columns}
    if not columns or not keys:
        return values
    parts = bindable(collection.parts(vector_schema(connection)))
    listed = sql.SQL(", ").join(printed(sql.Identifier("s", column)) for column in columns)
    statement = render("collection/values_of_rows.sql", **{**parts, **bindable({"values": listed})})
    given = json.dumps([json.loads(key) for key in keys], ensure_ascii=False)
    with needing(connection, f"it takes SELECT on {collection.shown_source}"):
        for position, found in connection.execute(statement, {"keys": given}):
            for column, value in zip(columns, found, strict=True):
                values[column][position - 1] = value or None
    return values
