"""Navigation of the pages: an entry appears where its blueprint is registered."""

from dataclasses import dataclass

from flask import Blueprint, Flask


@dataclass(frozen=True)
class NavigationEntry:
    """A page in the bar at the top.

    Attributes:
        endpoint: Of the page, such as "review.page".
        title: What it is called, one or two words.
    """

    endpoint: str
    title: str

    @property
    def blueprint(self) -> str:
        """The blueprint that is shown as the current one on its pages."""
        return self.endpoint.partition(".")[0]


def register_pages(app: Flask, pages: Blueprint, title: str, url_prefix: str | None = None) -> None:
    """Register a blueprint whose first page has the endpoint `page`, and put it into the navigation."""
    app.register_blueprint(pages, url_prefix=url_prefix)
    navigation(app).append(NavigationEntry(f"{pages.name}.page", title))


def navigation(app: Flask) -> list[NavigationEntry]:
    """Return the entries in their order."""
    entries: list[NavigationEntry] = app.extensions.setdefault("imgvec_navigation", [])
    return entries
