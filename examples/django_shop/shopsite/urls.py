"""The shop, its admin, and its media while DEBUG is on."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import path
from shop import views

urlpatterns = [
    path("", views.shop, name="shop"),
    path("product/<int:key>/", views.product, name="product"),
    path("alike/", views.alike, name="alike"),
    path("admin/", admin.site.urls),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
