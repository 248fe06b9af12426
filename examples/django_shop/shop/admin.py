"""The shop's admin."""

from django.contrib import admin

from imgvec_pg.django.admin import ImageSearchAdmin
from shop.models import Category, Product

admin.site.register(Category)


@admin.register(Product)
class ProductAdmin(ImageSearchAdmin, admin.ModelAdmin):
    """Products, with their pictures."""

    list_display = ("name", "price", "in_stock")
    list_filter = ("category", "in_stock")
    search_fields = ("name",)
    list_per_page = 25
