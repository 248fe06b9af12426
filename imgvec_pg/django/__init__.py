"""Image search for Django models.

INSTALLED_APPS = [..., "imgvec_pg.django"]

class Product(models.Model):
    photo = models.ImageField(upload_to="products")
    clip = ImageSearch("photo", model="ViT-B-32/laion2b_s34b_b79k")
    objects = ImageSearchManager()

Product.objects.near("red shoes").filter(price__lt=50)[:10]
"""

from imgvec_pg.django.image_search import ImageSearch
from imgvec_pg.django.queryset import ImageSearchManager, ImageSearchQuerySet

__all__ = ["ImageSearch", "ImageSearchManager", "ImageSearchQuerySet"]
