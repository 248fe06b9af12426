"""What the shop sells."""

from django.db import models
from django.urls import reverse

from imgvec_pg.django import ImageSearch, ImageSearchManager


class Category(models.Model):
    """A group of products."""

    name = models.CharField(max_length=100, unique=True)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """A sticker, with its picture."""

    name = models.CharField(max_length=200)
    category = models.ForeignKey(Category, models.PROTECT)
    price = models.DecimalField(max_digits=6, decimal_places=2)
    in_stock = models.BooleanField(default=True)
    photo = models.ImageField(upload_to="products")

    clip = ImageSearch("photo", model="demo")
    objects = ImageSearchManager()

    class Meta:
        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the product's page."""
        return reverse("product", args=[self.pk])
