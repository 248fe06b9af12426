"""The Django application `imgvec_pg`."""

from django.apps import AppConfig


class ImgvecConfig(AppConfig):
    """Registers the system checks, and has collections follow what migrations rename; the app has no models of its own."""

    name = "imgvec_pg.django"
    label = "imgvec_pg"
    verbose_name = "Image search"

    def ready(self) -> None:
        """Register the checks, and hook into migrations."""
        from imgvec_pg.django import checks  # noqa: F401 - registers itself
        from imgvec_pg.django.schema_hooks import hook_schema_editor

        hook_schema_editor()
