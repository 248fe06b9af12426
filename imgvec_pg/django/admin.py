"""ModelAdmin mixin: thumbnails and status in the list, "more like this", and a search by words.

@admin.register(Product)
class ProductAdmin(ImageSearchAdmin, admin.ModelAdmin):
    list_display = ["name", "price"]
"""

import json
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import connections
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.django.image_search import ImageSearch, search_of
from imgvec_pg.django.queryset import ImageSearchQuerySet
from imgvec_pg.django.thumbnails import has_picture, picture_of
from imgvec_pg.errors import ImageError, ImgvecError, UsageError

SHOWN = 24
FAILURES = "_imgvec_failures"
"""Attribute of a row that the list shows: the failures of its page, by primary key."""


class ImageSearchAdmin:
    """Put it before ModelAdmin.

    Attributes:
        image_search: Name of the ImageSearch, where the model has several.
    """

    image_search: str | None = None
    change_list_template = "admin/imgvec_pg/change_list.html"
    model: type[Model]
    admin_site: admin.AdminSite

    def check(self, **options: Any) -> list[CheckMessage]:  # noqa: ANN401 - Django's own
        """Tell of a model without the search that the list is about, before a page fails."""
        found: list[CheckMessage] = super().check(**options)  # type: ignore[misc]
        try:
            _ = self.search
        except UsageError as error:
            hint = "Take ImageSearchAdmin away, or set image_search where the model has several."
            found = [*found, Error(str(error), hint=hint, obj=type(self), id="imgvec_pg.E014")]
        return found

    @property
    def search(self) -> ImageSearch:
        """The search that the list is about."""
        return search_of(self.model, self.image_search)

    # Any, where a checker that reads Django would see another type than ModelAdmin's in front of it.
    def get_list_display(self, request: HttpRequest) -> Any:  # noqa: ANN401
        """Add thumbnail, status and link to the columns that the project shows."""
        shown = list(super().get_list_display(request))  # type: ignore[misc]
        if shown == ["__str__"] or "thumbnail" not in shown:
            shown.insert(0, "thumbnail")
        return [*shown, *(name for name in ("image_status", "more_like_this") if name not in shown)]

    def get_list_display_links(self, request: HttpRequest, list_display: Sequence[Any]) -> Any:  # noqa: ANN401
        """Link the first column that is not the picture."""
        links = super().get_list_display_links(request, list_display)  # type: ignore[misc]
        if links and list(links) == ["thumbnail"]:
            return [next(name for name in list_display if name != "thumbnail")]
        return links

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Read the embeddings' dates with the rows."""
        name = self.search.name
        found: QuerySet = super().get_queryset(request).select_related(name)  # type: ignore[misc]
        return found.defer(f"{name}__embedding")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Look up why rows of the page are not embedded, all at once."""
        changes: ChangeList = super().get_changelist_instance(request)  # type: ignore[misc]
        missing = [row for row in changes.result_list if not is_embedded(self.search, row)]
        failures = failures_of(self.search, missing)
        for row in missing:
            setattr(row, FAILURES, failures)
        return changes

    @admin.display(description="Picture")
    def thumbnail(self, row: Model) -> SafeString:
        """Show the picture small."""
        return format_html(
            '<img src="{}" alt="" loading="lazy" style="height:56px;max-width:96px;object-fit:contain">',
            self._url("picture", row.pk),
        )

    @admin.display(description="Search")
    def image_status(self, row: Model) -> str:
        """Say whether the row can be found, or why not."""
        if is_embedded(self.search, row):
            return "ready"
        known = getattr(row, FAILURES, None)
        failure = (failures_of(self.search, [row]) if known is None else known).get(row.pk)
        if failure is not None:
            return f"failed: {failure[0]}"
        return "waiting" if has_picture(self.search, row) else "no picture"

    @admin.display(description="")
    def more_like_this(self, row: Model) -> SafeString:
        """Link to the nearest pictures."""
        return format_html('<a href="{}">More like this</a>', self._like(row))

    def get_urls(self) -> list[Any]:
        """Add the pages."""
        info = f"{self.model._meta.app_label}_{self.model._meta.model_name}"
        view = self.admin_site.admin_view
        pages = [
            path("similar/", view(self.similar_view), name=f"{info}_similar"),
            path("<path:object_id>/picture/", view(self.picture_view), name=f"{info}_picture"),
        ]
        return [*pages, *super().get_urls()]  # type: ignore[misc]

    def _url(self, page: str, *arguments: object) -> str:
        info = f"{self.model._meta.app_label}_{self.model._meta.model_name}"
        return reverse(f"{self.admin_site.name}:{info}_{page}", args=arguments)

    def _like(self, row: Model) -> str:
        return f"{self._url('similar')}?{urlencode({'like': row.pk})}"

    def picture_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Serve a row's picture, small."""
        row = self._row(request, object_id)
        try:
            data = picture_of(self.search, row)
        except ImageError as error:
            raise Http404(error.code) from error
        headers = {"Cache-Control": "private, max-age=300", "X-Content-Type-Options": "nosniff"}
        return HttpResponse(data, content_type="image/jpeg", headers=headers)

    def similar_view(self, request: HttpRequest) -> HttpResponse:
        """Show the rows nearest to words or to a row."""
        if not self.has_view_or_change_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        words, like = request.GET.get("q", "").strip(), request.GET.get("like", "")
        row = self._row(request, like) if like else None
        rows: list[Model] = []
        problem = ""
        if row is not None or words:
            try:
                rows = self._nearest(request, words if row is None else row)
            except ImgvecError as error:
                problem = str(error)
        context = {
            **self.admin_site.each_context(request),
            "title": "Search by picture",
            "opts": self.model._meta,
            "words": words,
            "like": row,
            "like_picture": None if row is None else self._url("picture", row.pk),
            "waits": row is not None and not rows and self.image_status(row) != "ready",
            "found": [self._card(found) for found in rows],
            "problem": problem,
        }
        return TemplateResponse(request, "admin/imgvec_pg/similar.html", context)

    def _nearest(self, request: HttpRequest, asked: str | Model) -> list[Model]:
        rows = self.get_queryset(request)
        near = ImageSearchQuerySet(self.model, query=rows.query.chain(), using=rows.db)
        return list(near.near(asked, search=self.search.name)[:SHOWN])

    def _card(self, row: Any) -> dict[str, object]:  # noqa: ANN401 - a model with a distance
        meta = self.model._meta
        change = f"{self.admin_site.name}:{meta.app_label}_{meta.model_name}_change"
        return {
            "text": str(row),
            "distance": row.distance,
            "picture": self._url("picture", row.pk),
            "change": reverse(change, args=[quote(row.pk)]),
            "like": self._like(row),
        }

    def _row(self, request: HttpRequest, key: str) -> Model:
        row: Model | None = self.get_object(request, key)  # type: ignore[attr-defined]
        if row is None:
            raise Http404("there is no such row")
        if not self.has_view_or_change_permission(request, row):  # type: ignore[attr-defined]
            raise PermissionDenied
        return row


def is_embedded(search: ImageSearch, row: Model) -> bool:
    """Whether a row that was read with its embedding has one."""
    try:
        getattr(row, search.name)
    except ObjectDoesNotExist:
        return False
    return True


def failures_of(search: ImageSearch, rows: Sequence[Model]) -> dict[Any, tuple[str, str]]:
    """Return code and message, by primary key, of those rows whose failure to be embedded is on record."""
    if not rows:
        return {}
    keys = [row.pk if isinstance(row.pk, int) else str(row.pk) for row in rows]
    values = {
        "collection": search.collection,
        "keys": [json.dumps({row._meta.pk.column: key}) for row, key in zip(rows, keys, strict=True)],
    }
    with connections[rows[0]._state.db or "default"].cursor() as cursor:
        cursor.execute(load_sql("queries/failures_of.sql").as_string(None), values)
        return {rows[position - 1].pk: (code, message) for position, code, message in cursor.fetchall()}
