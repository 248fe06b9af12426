"""The Django application `imgvec_pg`."""

from django.apps import AppConfig


class ImgvecConfig(AppConfig):
    """Registers the system checks; the app has migrations and a command, but no models of its own."""

    name = "imgvec_pg.django"
    label = "imgvec_pg"
    verbose_name = "Image search"

    def ready(self) -> None:
        """Register the checks."""
        from imgvec_pg.django import checks  # noqa: F401 - registers itself
