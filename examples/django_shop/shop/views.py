"""The shop's pages."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from imgvec_pg.errors import UsageError
from shop.forms import PhotoForm, SearchForm
from shop.models import Product

PER_PAGE = 24


def shop(request: HttpRequest) -> HttpResponse:
    """Show products: all of them, or those nearest to words, under the visitor's filters."""
    form = SearchForm(request.GET or None)
    found = Product.objects.select_related("category")
    words = ""
    if form.is_valid():
        words = form.cleaned_data["q"]
        found = filtered(found, form.cleaned_data)
    if words:
        try:
            # A product in several sizes has one photo: it is shown once.
            found = found.near(words, distinct=True)
        except UsageError as error:
            form.add_error("q", str(error))
            found = found.none()
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    kept = request.GET.copy()
    kept.pop("page", None)
    context = {
        "form": form,
        "photo_form": PhotoForm(),
        "page": page,
        "words": words,
        "kept": kept.urlencode(),
    }
    return render(request, "shop/shop.html", context)


def filtered(products: QuerySet, wanted: dict[str, Any]) -> QuerySet:
    """Return the products that the visitor's filters leave."""
    if wanted["category"]:
        products = products.filter(category=wanted["category"])
    if wanted["max_price"] is not None:
        products = products.filter(price__lte=wanted["max_price"])
    if wanted["in_stock"]:
        products = products.filter(in_stock=True)
    return products


def product(request: HttpRequest, key: int) -> HttpResponse:
    """Show a product, and others like it that can be had."""
    shown = get_object_or_404(Product.objects.select_related("category"), pk=key)
    # Filtered first: of products with one photo it shows one that is in stock.
    in_stock = Product.objects.filter(in_stock=True).select_related("category")
    alike = in_stock.near(shown, distinct=True)[:12]
    return render(request, "shop/product.html", {"product": shown, "alike": alike, "form": SearchForm()})


def alike(request: HttpRequest) -> HttpResponse:
    """Show the products nearest to an uploaded picture; the picture is not kept."""
    if request.method != "POST":
        return HttpResponseRedirect(reverse("shop"))
    form, found, status = PhotoForm(request.POST, request.FILES), [], 200
    if form.is_valid():
        try:
            found = list(
                Product.objects.select_related("category").near(form.cleaned_data["photo"], distinct=True)[
                    :PER_PAGE
                ]
            )
        except UsageError as error:
            form.add_error("photo", str(error))
    if form.errors:
        status = 400
    context = {"form": SearchForm(), "photo_form": form, "found": found}
    return render(request, "shop/alike.html", context, status=status)
