"""The admin."""

from django.contrib import admin
from django.urls import path

from gallery.models import Item
from imgvec_pg.django.admin import ImageSearchAdmin


@admin.register(Item)
class ItemAdmin(ImageSearchAdmin, admin.ModelAdmin):
    list_display = ("name", "price")


urlpatterns = [path("admin/", admin.site.urls)]
