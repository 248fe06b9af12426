"""A collection as a Django index of the source's model: what `makemigrations` sees, writes and compares."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.files.storage import FileSystemStorage, Storage
from django.db.models import BinaryField, Field, GeneratedField, Index, Model

from imgvec_pg.django import collection_ops
from imgvec_pg.django.connection_dsn import setting
from imgvec_pg.django.renames import rename
from imgvec_pg.errors import UsageError
from imgvec_pg.store.spec import CollectionSpec

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

OPTIONS = (
    "watch",
    "root",
    "url_prefixes",
    "prompt",
    "m",
    "ef_construction",
    "quantization",
    "index_method",
    "lists",
    "partitions",
    "bands",
    "foreign_key",
)
"""Fields of CollectionSpec that a model declares beside its image fields and the embedding model: its table tells the rest."""
NOT_FILES = "/django-storage"
"""Stands for a storage that keeps no files on this machine: only a worker that Django starts can read it."""


def holder(field: Field) -> Field:
    """Return what a column holds: of a generated field its output, of any other itself."""
    return field.output_field if isinstance(field, GeneratedField) else field


def root_for(field: Field) -> str | None:
    """Return where the field's storage keeps files on this machine; None where only root=… can tell."""
    storage = getattr(field, "storage", None)
    if isinstance(storage, FileSystemStorage):
        return str(Path(storage.location).absolute())
    if isinstance(storage, Storage):
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
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Take what a migration writes down.

        Args:
            fields: The model's fields with the pictures.
            options: Those of OPTIONS that are not the default; `watch` names fields of the model.

        Raises:
            UsageError: A value cannot be used.
        """
        super().__init__(fields=list(fields), name=name)
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise UsageError(f"CollectionIndex has no option {unknown[0]}; expected {', '.join(OPTIONS)}")
        self.declared = CollectionSpec(name, image=fields, model=model, **options)

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return what a migration writes down; defaults are left out."""
        path, arguments, keywords = super().deconstruct()
        keywords["model"] = self.declared.model
        plain = CollectionSpec(self.declared.name)
        for option in OPTIONS:
            value = getattr(self.declared, option)
            if value != getattr(plain, option):
                keywords[option] = value
        return path, arguments, keywords

    def clone(self) -> "CollectionIndex":
        """Return a copy."""
        _, _, keywords = self.deconstruct()
        return CollectionIndex(**keywords)

    def create_sql(
        self, model: type[Model], schema_editor: "BaseDatabaseSchemaEditor", using: str = "", **_: object
    ) -> str:
        """Create the collection, or change the one of this name, or rename the one that is dropped for it."""
        spec = self.declared_over(model, schema_editor)
        # What differs in more than its name Django changes by dropping and creating it.
        old_name = collection_ops.cancel_drop_of_twin(schema_editor, spec)
        if old_name is not None:
            return rename(schema_editor, old_name, spec)
        return collection_ops.create(schema_editor, spec)

    def remove_sql(self, model: type[Model], schema_editor: "BaseDatabaseSchemaEditor", **_: object) -> str:
        """Drop the collection at the end of the migration, unless it is created again before."""
        return collection_ops.drop_later(schema_editor, self.declared_over(model, schema_editor))

    def declared_over(self, model: type[Model], schema_editor: "BaseDatabaseSchemaEditor") -> CollectionSpec:
        """Return the collection as the database knows it: over the model's table, fields as columns, the one with paths first.

        The embedding model is not looked up yet.
        """
        fields: list[Field] = [model._meta.get_field(name) for name in self.fields]
        fields.sort(key=lambda field: isinstance(holder(field), BinaryField))
        paths = [field for field in fields if not isinstance(holder(field), BinaryField)]
        key = model._meta.pk
        return replace(
            self.declared,
            name=self.name,
            model=setting("MODEL") or self.declared.model,
            source=schema_editor.quote_name(model._meta.db_table),
            image=[field.column for field in fields],
            root=(self.declared.root or root_for(paths[0])) if paths else None,
            watch=[model._meta.get_field(name).column for name in self.declared.watch],
            key={key.column: key.rel_db_type(schema_editor.connection)},
        )
