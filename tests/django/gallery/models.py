"""Models as an application has them."""

import uuid

from django.core.files.storage import InMemoryStorage
from django.db import models

from imgvec_pg.django import ImageSearch, ImageSearchManager

STORAGE = InMemoryStorage()


class Category(models.Model):
    name = models.CharField(max_length=50)


class Tag(models.Model):
    name = models.CharField(max_length=50)


class Item(models.Model):
    name = models.CharField(max_length=100)
    price = models.IntegerField(default=0)
    category = models.ForeignKey(Category, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag)
    photo = models.ImageField(upload_to="items", storage=STORAGE)
    clip = ImageSearch("photo", model="color-grid")
    objects = ImageSearchManager()

    def __str__(self) -> str:
        return self.name


class Review(models.Model):
    item = models.ForeignKey(Item, models.CASCADE, related_name="reviews")
    stars = models.IntegerField()


class Pictured(models.Model):
    """Abstract: each model below it has a collection of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    content = models.BinaryField(null=True)
    look = ImageSearch("content", model="color-grid")
    objects = ImageSearchManager()

    class Meta:
        abstract = True


class Snapshot(Pictured):
    """A second look at the same bytes, in another prompt."""

    second = ImageSearch("content", model="faulty-grid", prompt="a picture of {}")
