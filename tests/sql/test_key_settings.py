"""Keys are the same JSON whatever the application's session prints, and rows are found by them."""

from typing import Any

import pytest
from photostore import embedded, make_collection, take_enqueued
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.integrity.verify import verify_collection

ODD = (
    "SET LOCAL extra_float_digits = -4; SET LOCAL datestyle = 'SQL, DMY'; SET LOCAL timezone = 'Asia/Kathmandu';"
    " SET LOCAL intervalstyle = 'sql_standard'; SET LOCAL bytea_output = 'escape'; SET LOCAL lc_monetary = 'C.UTF-8'"
)
USUAL = (
    "SET LOCAL extra_float_digits = 1; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL timezone = 'UTC';"
    " SET LOCAL intervalstyle = 'postgres'; SET LOCAL bytea_output = 'hex'"
)
KEYS = {
    "float8": ("0.1::float8 + 0.2::float8", "1e-300::float8"),
    "float4": ("0.1::float4 / 3", "16777216::float4"),
    "numeric": ("12345678901234567890.5", "0.000"),
    "timestamptz": ("'2024-05-06 07:08:09.123456+09'", "'2024-06-05 00:00Z'"),
    "timestamp": ("'2024-05-06 07:08:09'", "'infinity'"),
    "date": ("'2024-05-06'", "'2024-06-05'"),
    "time": ("'07:08:09.5'", "'00:00'"),
    "timetz": ("'07:08:09+05:45'", "'00:00Z'"),
    "interval": ("'1 month 2 days 03:04:05.6'", "'-1 day'"),
    "bytea": ("'\\x00ff5c'", "'abc'"),
    "money": ("'12.34'", "'0.01'"),
    "inet": ("'10.0.0.1/24'", "'::1'"),
    "tsrange": ("'[2024-05-06,2024-06-05)'", "'empty'"),
    "tstzrange": ("'[2024-05-06 07:08+09,2024-06-05 00:00Z)'", "'(,)'"),
    "daterange": ("'[2024-05-06,2024-06-05]'", "'(,2024-01-01)'"),
    "numrange": ("'[1.5,2.50]'", "'empty'"),
    "int4multirange": ("'{[1,3),[5,7)}'", "'{}'"),
    "float8[]": ("ARRAY[0.1::float8 + 0.2::float8, NULL]", "'{}'"),
    "timestamptz[]": ("ARRAY['2024-05-06 07:08+09'::timestamptz]", "'{}'"),
    "text[]": ("ARRAY['a,b', '\"', NULL]", "'{}'"),
    "boolean": ("true", "false"),
    "bit(4)": ("B'0101'", "B'1111'"),
    "char(4)": ("'a'", "'bc'"),
}


@pytest.mark.parametrize("with_foreign_key", [True, False], ids=["fk", "no-fk"])
@pytest.mark.parametrize("kind", KEYS)
def test_a_key_is_written_alike_under_any_settings(
    scratch: Connection, kind: str, with_foreign_key: bool
) -> None:
    first, second = KEYS[kind]
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(f"CREATE TABLE shop.photo (id {kind} PRIMARY KEY, file text)")  # type: ignore[arg-type]
    collection = make_collection(scratch, foreign_key=with_foreign_key)
    filed: list[list[Any]] = []
    for settings in (ODD, USUAL):
        scratch.execute(settings)  # type: ignore[arg-type]
        scratch.execute(f"INSERT INTO shop.photo VALUES ({first}, 'a.jpg'), ({second}, 'b.jpg')")  # type: ignore[arg-type]
        scratch.execute("UPDATE shop.photo SET file = file || '?'")
        filed.append(
            [key for (keys,) in scratch.execute("SELECT keys FROM imgvec.job ORDER BY id") for key in keys]
        )
        assert verify_collection(scratch, collection).is_in_step
        scratch.execute("DELETE FROM imgvec.job")
        assert list_source(scratch, collection) + reconcile(scratch, collection).enqueued == 2
        listed = [
            key for (keys,) in scratch.execute("SELECT keys FROM imgvec.job ORDER BY id") for key in keys
        ]
        assert sorted(map(str, listed)) == sorted(map(str, filed[-1][:2]))
        # What a worker reads by the key, and what it leaves is forgotten by it.
        store = EmbeddingStore(scratch, collection, vector_schema(scratch))
        assert [image.path for image in store.read_images(filed[-1][:2])] == ["a.jpg?", "b.jpg?"]
        scratch.execute(settings)  # type: ignore[arg-type]
        for key in listed:
            scratch.execute(
                "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
                " VALUES (%s, %s, 1, 'x', '', 1)",
                [collection.id, Jsonb(key)],
            )
        scratch.execute("DELETE FROM shop.photo")
        assert scratch.execute("SELECT count(*) FROM imgvec.failure").fetchone() == (0,)
        take_enqueued(scratch)
        scratch.execute("UPDATE imgvec.collection SET listed_at = NULL")
    assert filed[0] == filed[1]
    assert embedded(scratch, collection) == []
