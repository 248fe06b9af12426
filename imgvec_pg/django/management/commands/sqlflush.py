"""Django's own `sqlflush`, which prints what empties embeddings together with their rows."""

from typing import Any

from django.core.management.commands import sqlflush

from imgvec_pg.django.management.flush_sql import with_embeddings


class Command(sqlflush.Command):
    """Django's, with the tables that it cannot know of."""

    def handle(self, **options: Any) -> str:  # noqa: ANN401 - Django's own signature
        """Do as Django does."""
        with with_embeddings(options["database"]):
            made: str = super().handle(**options)
            return made
