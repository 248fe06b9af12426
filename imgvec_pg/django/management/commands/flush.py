"""Django's own `flush`, which empties embeddings together with their rows."""

from typing import Any

from django.core.management.commands import flush

from imgvec_pg.django.management.flush_sql import with_embeddings


class Command(flush.Command):
    """Django's, with the tables that it cannot know of."""

    def handle(self, **options: Any) -> None:  # noqa: ANN401 - Django's own signature
        """Do as Django does."""
        with with_embeddings(options["database"]):
            super().handle(**options)
