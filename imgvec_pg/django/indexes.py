"""A collection as a Django index of the source's model: what `makemigrations` sees, writes and compares."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import BinaryField, Field, Index, Model

from imgvec_pg.database.hnsw import HnswParams
from imgvec_pg.django import collection_ops
from imgvec_pg.django.connection_dsn import command_errors
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.store.spec import CollectionRequest

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from pathlib import Path

from django.core.files.storage import FileSystemStorage, Storage
from django.db.models import URLField

NOT_FILES = "/django-storage"
"""Stands for a storage that keeps no files on this machine: only a worker that Django starts can read it."""


def root_for(field: Field) -> str | None:
    """Return where the field's storage keeps files on this machine; None where only root=… can tell."""
    storage = getattr(field, "storage", None)
    if isinstance(storage, FileSystemStorage):
        return str(Path(storage.location).absolute())
    if isinstance(storage, Storage) or isinstance(field, URLField):
        return f"{NOT_FILES}/{field.model._meta.label}.{field.name}"
    return None


class CollectionIndex(Index):
    """Creates a collection where Django creates an index, and drops it where Django drops one.

    Each method does its work through the library over the migration's own connection, since what is made depends on
    what the catalogue says of the table, and returns a comment for the migration to run.
    """

    max_name_length = 40

    def __init__(
        self,
        *,
        fields: Sequence[str],
        name: str,
        model: str,
        watch: Sequence[str] = (),
        root: str | None = None,
        prompt: str = "{}",
        m: int = 16,
        ef_construction: int = 64,
        foreign_key: bool = True,
    ) -> None:
        super().__init__(fields=list(fields), name=name)
        self.model_name = model
        self.watch = tuple(watch)
        self.root = root
        self.prompt = prompt
        self.hnsw = HnswParams(m, ef_construction)
        self.foreign_key = foreign_key

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return what a migration writes down; defaults are left out."""
        path, arguments, keywords = super().deconstruct()
        keywords["model"] = self.model_name
        for name, value, default in (
            ("watch", self.watch, ()),
            ("root", self.root, None),
            ("prompt", self.prompt, "{}"),
            ("m", self.hnsw.m, 16),
            ("ef_construction", self.hnsw.ef_construction, 64),
            ("foreign_key", self.foreign_key, True),
        ):
            if value != default:
                keywords[name] = value
        return path, arguments, keywords

    def clone(self) -> "CollectionIndex":
        """Return a copy."""
        _, _, keywords = self.deconstruct()
        return CollectionIndex(**keywords)

    def create_sql(
        self, model: type[Model], schema_editor: "BaseDatabaseSchemaEditor", using: str = "", **_: object
    ) -> str:
        """Create the collection, or change the one of this name."""
        key = model._meta.pk
        key_types = {key.column: key.rel_db_type(schema_editor.connection)}
        return collection_ops.create(schema_editor, self.request(model, schema_editor), key_types)

    def remove_sql(self, model: type[Model], schema_editor: "BaseDatabaseSchemaEditor", **_: object) -> str:
        """Drop the collection at the end of the migration, unless it is created again before."""
        return collection_ops.drop_later(schema_editor, self.name)

    def request(self, model: type[Model], schema_editor: "BaseDatabaseSchemaEditor") -> CollectionRequest:
        """Return the collection that is asked for."""
        with command_errors():
            described = describe_model(self.model_name)
        fields: list[Field] = [model._meta.get_field(name) for name in self.fields]
        fields.sort(key=lambda field: isinstance(field, BinaryField))
        paths = [field for field in fields if not isinstance(field, BinaryField)]
        return CollectionRequest(
            name=self.name,
            relation=schema_editor.quote_name(model._meta.db_table),
            image_columns=[field.column for field in fields],
            model_name=described.name,
            dimensions=described.dimensions,
            has_text=described.has_text,
            root=(self.root or root_for(paths[0])) if paths else None,
            watch_columns=[model._meta.get_field(name).column for name in self.watch],
            with_foreign_key=self.foreign_key,
            hnsw=self.hnsw,
            prompt=self.prompt,
        )
