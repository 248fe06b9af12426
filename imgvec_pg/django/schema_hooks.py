"""What a migration renames or deletes, collections follow: hooks into Django's schema editor.

Django renames an index by ALTER INDEX, and a table or a column without asking its indexes; a collection is more than either.
"""

from functools import wraps
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Field, Model

from imgvec_pg.django.collection_ops import drops_to_come
from imgvec_pg.django.indexes import CollectionIndex
from imgvec_pg.django.renames import follow_column, following_key_types, rename

HOOKED = "_imgvec_renames"


def hook_schema_editor() -> None:
    """Have every schema editor of this process tell of renames and deletions; harmless a second time."""
    editor = BaseDatabaseSchemaEditor
    if getattr(editor, HOOKED, False):
        return
    setattr(editor, HOOKED, True)
    rename_index, delete_model = editor.rename_index, editor.delete_model
    alter_field, alter_db_table = editor.alter_field, editor.alter_db_table

    @wraps(rename_index)
    def rename_index_or_collection(self: Any, model: type[Model], old_index: Any, new_index: Any) -> None:  # noqa: ANN401
        if isinstance(new_index, CollectionIndex):
            self.execute(rename(self, old_index.name, new_index.declared_over(model, self)), params=None)
        else:
            rename_index(self, model, old_index, new_index)

    @wraps(delete_model)
    def delete_model_with_collections(self: Any, model: type[Model]) -> None:  # noqa: ANN401
        for index in model._meta.indexes:
            if isinstance(index, CollectionIndex):
                self.execute(index.remove_sql(model, self), params=None)
        delete_model(self, model)

    @wraps(alter_field)
    def alter_field_and_follow(
        self: Any,  # noqa: ANN401
        model: type[Model],
        old_field: Field,
        new_field: Field,
        *arguments: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> None:
        with following_key_types(self, model, old_field, new_field):
            alter_field(self, model, old_field, new_field, *arguments, **options)
        columns = old_field.column, new_field.column
        if None not in columns and columns[0] != columns[1]:
            table = model._meta.db_table
            for dropped in drops_to_come(self):
                dropped.follow_column(self.quote_name(table), *columns)
            follow_column(self, table, *columns)

    @wraps(alter_db_table)
    def alter_db_table_and_follow(self: Any, model: type[Model], old_table: str, new_table: str) -> None:  # noqa: ANN401
        alter_db_table(self, model, old_table, new_table)
        for dropped in drops_to_come(self):
            dropped.follow_table(self.quote_name(old_table), self.quote_name(new_table))

    editor.alter_db_table = alter_db_table_and_follow
    editor.rename_index = rename_index_or_collection
    editor.delete_model = delete_model_with_collections
    editor.alter_field = alter_field_and_follow
