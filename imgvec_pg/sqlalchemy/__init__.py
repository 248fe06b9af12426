"""Image search for SQLAlchemy: the mixin for embedding tables, near() on selects, search() that is never short."""

from imgvec_pg.sqlalchemy.embed import LocalModel
from imgvec_pg.sqlalchemy.near import near, neighbours
from imgvec_pg.sqlalchemy.query import Picture, Row, Vector, Words
from imgvec_pg.sqlalchemy.scan_settings import SearchSettings
from imgvec_pg.sqlalchemy.search import search
from imgvec_pg.sqlalchemy.write import write_embeddings
from imgvec_pg.store.mixin import EmbeddingMixin
from imgvec_pg.store.schema import Image, ImageEmbedding
from imgvec_pg.store.spec import CollectionSpec

CollectionDefinition = CollectionSpec
"""The name in earlier documents, for programs that import it."""

__all__ = [
    "CollectionSpec",
    "EmbeddingMixin",
    "Image",
    "ImageEmbedding",
    "LocalModel",
    "Picture",
    "Row",
    "SearchSettings",
    "Vector",
    "Words",
    "near",
    "neighbours",
    "search",
    "write_embeddings",
]
