"""A spec in which no field has its default, and which fields the ways to declare a collection do without."""

from dataclasses import fields, replace

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

TABLE = (
    "CREATE SCHEMA shop; CREATE TABLE shop.product (id bigint PRIMARY KEY, photo text, scan bytea, crop text)"
)
SPEC = CollectionSpec(
    "product_all",
    "shop.product",
    ("photo", "scan"),
    "demo",
    256,
    True,
    root="/srv/photos",
    url_prefixes=("https://images.example.com", "s3://shop-photos"),
    watch=("crop",),
    key={"id": "bigint"},
    foreign_key=False,
    m=8,
    ef_construction=40,
    quantization="bit",
    partitions=4,
    prompt="a photo of {}",
    bands=(4, 3, 2),
)
"""Over TABLE."""
LISTED = replace(SPEC, quantization=None, index_method="ivfflat", lists=7)
"""The same with the options of another index method, which exclude those of HNSW."""
TENANTS = "CREATE SCHEMA shop; CREATE TABLE shop.product (shop integer, id bigint, photo text, scan bytea, crop text)"
BY_TENANT = replace(LISTED, key={"shop": "integer", "id": "bigint"}, partition_by="shop")
"""The same over TENANTS, divided by a column of its key, which excludes an index of bits."""

BY_THE_MODEL = dict.fromkeys(("dimensions", "has_text"), "looked up by the model's name")
WITHOUT: dict[str, dict[str, str]] = {
    "imgvec collection create": BY_THE_MODEL,
    "ImageSearch": {
        **BY_THE_MODEL,
        "source": "the table of the model class",
        "key": "the primary key of the model class",
        "partition_by": "a column of a composite key, to which Django makes no relations",
    },
}
"""For each way in, the fields that it does not let one say, and why; the ways that are not here let one say all."""


def registered(connection: Connection, name: str = SPEC.name) -> dict[str, object]:
    """Return the spec of a collection in the database, by its fields."""
    return vars(get_collection(connection, name).spec())


def sayable(way: str) -> set[str]:
    """Return the fields that a way in must have; a reason for a field that is none any more fails."""
    names = {field.name for field in fields(CollectionSpec)}
    without = WITHOUT.get(way, {})
    assert without.keys() <= names
    return names - without.keys()
