"""`ImageSearch`: declares on a model which field holds its images and which model embeds them."""

import copy
import re
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db.models import Field, Model
from django.db.models.signals import class_prepared

from imgvec_pg.django.connection_dsn import setting
from imgvec_pg.django.embedding_model import make_embedding_model
from imgvec_pg.django.indexes import CollectionIndex
from imgvec_pg.errors import UsageError
from imgvec_pg.store.spec import as_tuple, find_problems


class ImageSearch:
    """Makes the pictures of an ImageField, FileField, CharField, TextField or BinaryField searchable.

    Its name in the model becomes a one-to-one relation to the row's embedding (`product.clip.embedded_at`,
    `filter(clip__isnull=True)`), and `makemigrations` writes the collection into the app's migrations.

    Args:
        image: The field with the pictures; or two, one of paths and one of bytes.
        model: "architecture/pretrained", such as "ViT-B-32/laion2b_s34b_b79k".
        collection: Its name in the database; the default is the table's name, _ and the name in the model.
        watch: Further fields whose change means a new picture.
        root: The folder that paths are under, for a CharField or TextField; others know theirs from their storage.
        url_prefixes: What URLs in a CharField, TextField or URLField may begin with, such as
            ["https://images.example.com"]; the database's workers fetch no other.
        prompt: What words become before they are embedded, {} standing for them.
        m: Links that the HNSW index keeps for each row.
        ef_construction: Candidates that its build looks at for each row; 2·m or more.
        quantization: "bit" for a binary HNSW index.
        index_method: "hnsw" or "ivfflat".
        lists: Of an IVFFlat index; None for as many as suit the rows.
        partitions: Hash partitions of the embedding table; 0 for a plain table.
        bands: Which three bands of TIFFs of more than colours are shown red, green and blue, such as (4, 3, 2).
        foreign_key: False leaves deletions to triggers alone, so that TRUNCATE needs no CASCADE.

    Attributes:
        options: All of them but image, model and collection, by the names of CollectionSpec's fields; not checked yet, as
            the system checks tell what is wrong with them.
    """

    def __init__(
        self,
        image: str | Sequence[str],
        *,
        model: str | None = None,
        collection: str | None = None,
        watch: Sequence[str] = (),
        root: str | None = None,
        url_prefixes: Sequence[str] = (),
        prompt: str = "{}",
        m: int = 16,
        ef_construction: int = 64,
        quantization: str | None = None,
        index_method: str = "hnsw",
        lists: int | None = None,
        partitions: int = 0,
        bands: Sequence[int] = (),
        foreign_key: bool = True,
    ) -> None:
        self.image = as_tuple(image)
        self.model_name = model
        self._collection = collection
        self.options: dict[str, Any] = {
            "watch": as_tuple(watch),
            "root": root,
            "url_prefixes": as_tuple(url_prefixes),
            "prompt": prompt,
            "m": m,
            "ef_construction": ef_construction,
            "quantization": quantization,
            "index_method": index_method,
            "lists": lists,
            "partitions": partitions,
            "bands": bands,
            "foreign_key": foreign_key,
        }
        self.name = ""
        self.owner: type[Model]
        self.embedding_model: type[Model]

    @property
    def used_model_name(self) -> str | None:
        """The model that embeds here: settings.IMGVEC["MODEL"], as tests have it, else the one declared."""
        return setting("MODEL") or self.model_name

    @property
    def collection(self) -> str:
        """The collection's name in the database."""
        return self._collection or default_collection_name(self.owner, self.name)

    def contribute_to_class(self, cls: type[Model], name: str) -> None:
        """Take part in a model class, as fields do; called by Django."""
        self.name = name
        if not cls._meta.abstract:
            self.owner = cls

        # vars() has neither fields nor searches: Django takes them out of the class and hands them here.
        cls._own_image_searches = {**cls.__dict__.get("_own_image_searches", {}), name: self}

        def prepared(sender: type[Model], **_: Any) -> None:  # noqa: ANN401 - a signal's arguments
            if sender is cls:
                self._join(sender)
            elif (
                cls._meta.abstract
                and issubclass(sender, cls)
                and _is_first_table(sender, cls)
                and _declared(sender, name) is self
            ):
                copy.copy(self)._join(sender)

        class_prepared.connect(prepared, weak=False)

    def _join(self, owner: type[Model]) -> None:
        """Give a complete model class its embeddings' model, and its index, which migrations are made from."""
        self.owner = owner
        owner._image_searches = {**owner.__dict__.get("_image_searches", {}), self.name: self}
        if owner._meta.proxy or owner._meta.swapped or len(owner._meta.pk_fields) > 1:
            # Django makes no relation to a composite key; the system checks say so.
            return
        self.embedding_model = make_embedding_model(owner, self.name, self.collection)
        local = {field.name for field in owner._meta.local_fields}
        # Django would complain of an index with faults a second time, in its own words.
        if self.model_name is not None and not self.problems() and local.issuperset(self.image):
            meta = owner._meta
            # ModelState.from_model reads the options that a model was given, by this.
            meta.indexes = [*meta.indexes, self.index()]
            meta.original_attrs["indexes"] = meta.indexes

    def index(self) -> CollectionIndex:
        """Return what stands in migrations."""
        assert self.model_name is not None  # noqa: S101 - asked only then
        return CollectionIndex(fields=self.image, name=self.collection, model=self.model_name, **self.options)

    def problems(self) -> list[str]:
        """Say which values cannot be used; what the fields and the model tell is for the system checks."""
        return [str(error) for error in find_problems({"name": self.collection, **self.options})]

    def image_field(self) -> Field:
        """Return the first field that holds pictures.

        Raises:
            FieldDoesNotExist: The model has no such field.
        """
        field: Field = self.owner._meta.get_field(self.image[0])
        return field


def _declared(model: type[Model], name: str) -> "ImageSearch | None":
    """Return what a model has under a name, as Python looks names up: its own goes before what it inherits, None included."""
    for cls in model.__mro__:
        own: dict[str, ImageSearch] = cls.__dict__.get("_own_image_searches", {})
        if name in own:
            return own[name]
        if name in cls.__dict__ or any(field.name == name for field in _own_fields(cls)):
            return None
    return None


def _own_fields(cls: type) -> Sequence[Field]:
    """Return the fields that an abstract class or a model holds itself, inherited ones of abstract classes among them."""
    meta = getattr(cls, "_meta", None)
    return [*meta.local_fields, *meta.local_many_to_many] if meta is not None else []


def _is_first_table(sender: type[Model], abstract: type[Model]) -> bool:
    """Whether a model is the first with a table of its own below an abstract one."""
    return not sender._meta.abstract and not any(
        parent is not sender and issubclass(parent, abstract) and not parent._meta.abstract
        for parent in sender.__mro__
        if hasattr(parent, "_meta")
    )


def default_collection_name(owner: type[Model], name: str) -> str:
    """Return "shop_product_clip" for the table shop_product."""
    return re.sub(r"\W+", "_", f"{owner._meta.db_table}_{name}".lower())


def searches_of(model: type[Model]) -> dict[str, ImageSearch]:
    """Return the searches of a model and of the models that it inherits from, by their names."""
    found: dict[str, ImageSearch] = {}
    for cls in reversed(model.__mro__):
        found.update(cls.__dict__.get("_image_searches", {}))
    return {name: search for name, search in found.items() if hasattr(search, "embedding_model")}


def all_searches() -> list[ImageSearch]:
    """Return the searches of all models of the project, those with faults too."""
    own = [model.__dict__.get("_image_searches", {}) for model in apps.get_models()]
    return [search for searches in own for search in searches.values()]


def search_of(model: type[Model], name: str | None = None) -> ImageSearch:
    """Return the search of this name; None takes the only one.

    Raises:
        UsageError: There is none, or there are several and none is named.
    """
    found = searches_of(model)
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is not None and name in found:
        return found[name]
    label = model._meta.label
    if not found:
        raise UsageError(
            f'{label} has no ImageSearch; add one, such as clip = ImageSearch("photo", model="demo")'
        )
    names = ", ".join(found)
    if name is None:
        raise UsageError(
            f'{label} has several image searches ({names}); say which: near(…, search="{next(iter(found))}")'
        )
    raise UsageError(f'{label} has no image search "{name}"; it has: {names}')
