"""The Django model of a collection's embedding table: unmanaged, since the collection makes the table."""

import sys
from typing import Any

from django.db import models
from django.utils.functional import cached_property
from pgvector.django import HalfVectorField


class SourceKey(models.OneToOneField):
    """The key of an embedding's row, and the row it belongs to."""

    def db_type(self, connection: Any) -> str | None:  # noqa: ANN401 - Django's own
        """Return the key's type, known after the first time: Django asks for every join and would make a field each time."""
        if connection.alias not in self._types:
            self._types[connection.alias] = super().db_type(connection)
        return self._types[connection.alias]

    @cached_property
    def _types(self) -> dict[str, str | None]:
        return {}


def make_embedding_model(owner: type[models.Model], name: str, collection: str) -> type[models.Model]:
    """Return the model `<Owner><Name>`, one-to-one with its owner, reached from there by `name`.

    Its key is the owner's, under the same column name, as the library's embedding tables have it.
    """
    meta = type(
        "Meta",
        (),
        {
            "app_label": owner._meta.app_label,
            # Django puts quotes around: "imgvec"."shop_product_clip_embedding".
            "db_table": f'imgvec"."{collection}_embedding',
            "managed": False,
            # As for the table of a ManyToManyField: no migration writes it down, and dumpdata leaves it out. Vectors are made
            # again from the pictures, and a dump would have them before the rows that they belong to.
            "auto_created": owner,
            "default_permissions": (),
            "verbose_name": f"{owner._meta.verbose_name_raw} {name} embedding",
        },
    )
    attributes = {
        "__module__": owner.__module__,
        "__doc__": f"The embedding of a {owner.__name__}, written by imgvec workers only.",
        "Meta": meta,
        # The database's own foreign key cascades; Django need not look for embeddings when it deletes.
        "source": SourceKey(
            owner,
            models.DO_NOTHING,
            primary_key=True,
            db_column=owner._meta.pk.column,
            related_name=name,
            editable=False,
        ),
        "embedding": HalfVectorField(editable=False),
        "version": models.BigIntegerField(editable=False),
        "content_hash": models.BinaryField(editable=False),
        "precision": models.TextField(editable=False),
        "embedded_at": models.DateTimeField(editable=False),
        "reference_hash": models.BinaryField(null=True, editable=False),
    }
    class_name = owner.__name__ + "".join(part.capitalize() for part in name.split("_"))
    made = type(class_name, (models.Model,), attributes)
    # Where `manage.py shell` and people look for it.
    module = sys.modules.get(owner.__module__)
    if module is not None and not hasattr(module, class_name):
        setattr(module, class_name, made)
    return made
