"""near() on querysets, in a project whose pictures lie in a storage that keeps no files."""

import asyncio
import inspect
import io
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from colorshop import COLORS, FROM_RED, embedding, picture
from django.contrib.admin import ModelAdmin, site
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.paginator import Paginator
from django.db import connection, connections, models, transaction
from django.db.migrations.writer import MigrationWriter
from django.db.models import Avg, Count, F, Q
from django.db.models.functions import Concat
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps, override_settings
from djangoproject import set_up
from imgvec_faulty_embedder import FaultyGrid
from imgvec_test_embedder import ColorGrid
from psycopg.types.json import Jsonb
from specs import SPEC, registered, sayable

import imgvec_pg.django.connection_dsn
import imgvec_pg.django.indexes
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.index_methods.hnsw import HnswMethod
from imgvec_pg.database.migrations import newest_revision
from imgvec_pg.django import ImageSearch, ImageSearchManager
from imgvec_pg.django.admin import ImageSearchAdmin
from imgvec_pg.django.checks import _check, _check_together
from imgvec_pg.django.connection_dsn import psycopg_connection
from imgvec_pg.django.executor import _QuerySetBackend
from imgvec_pg.django.indexes import OPTIONS, CollectionIndex
from imgvec_pg.django.storages import FETCH
from imgvec_pg.django.testing import embed_now
from imgvec_pg.embedding.runtime import has_models_extra
from imgvec_pg.errors import NoWorkerError, UsageError
from imgvec_pg.store.registry import get_collection

DEFAULT_SCAN_SETTINGS = {**HnswMethod.unknown_settings, "enable_sort": "on"}
ROWS = 3000
"""Further items, embedded without pictures: an index is worth it among them."""


@pytest.fixture(scope="module", autouse=True)
def project(empty_module_database: str) -> Iterator[str]:
    set_up(empty_module_database)
    call_command("migrate", verbosity=0, run_syncdb=True)
    os.environ["IMGVEC_FETCH"] = FETCH
    try:
        fill(empty_module_database)
        yield empty_module_database
    finally:
        del os.environ["IMGVEC_FETCH"]
        connections.close_all()
        for alias in connections:
            if connections[alias].settings_dict["OPTIONS"].get("pool"):
                connections[alias].close_pool()


def fill(dsn: str) -> None:
    from gallery.models import Category, Item, Review, Snapshot, Tag

    bright, plain = Category.objects.create(name="bright"), Category.objects.create(name="plain")
    tag = Tag.objects.create(name="new")
    for price, color in enumerate(COLORS, 1):
        item = Item(name=color, price=price, category=plain if color in ("white", "black") else bright)
        item.photo.save(f"{color}.png", ContentFile(picture(color)))
        item.tags.add(tag)
        for stars in range(price % 3):
            Review.objects.create(item=item, stars=stars + 1)
        Snapshot.objects.create(content=picture(color))
    Worker(dsn, "gallery_item_clip", ColorGrid(), PipelineOptions()).run()
    Worker(dsn, "gallery_snapshot_look", ColorGrid(), PipelineOptions()).run()
    Worker(dsn, "gallery_snapshot_second", FaultyGrid(), PipelineOptions()).run()
    more = Item.objects.bulk_create(
        Item(name=f"item {n}", price=100 + n, photo=f"none/{n}", category=plain) for n in range(ROWS)
    )
    random = np.random.default_rng(3).normal(size=(ROWS, 12))
    vectors = random / np.linalg.norm(random, axis=1, keepdims=True)
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY imgvec.gallery_item_clip_embedding (id, embedding, version, content_hash, precision) FROM STDIN"
        ) as copy,
    ):
        for item, vector in zip(more, vectors, strict=True):
            copy.write_row((item.pk, str(vector.tolist()), 1, "", "fp32"))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM imgvec.job")
    call_command("imgvec", "index", "create", "gallery_item_clip")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def items() -> Any:
    from gallery.models import Item

    return Item.objects


def colored() -> Any:
    """Return the items whose distances are worked out by hand."""
    return items().filter(price__lt=100)


def test_near_words_gives_the_distances_worked_out_by_hand() -> None:
    found = {item.name: item.distance for item in items().near("red").filter(price__lt=100)[:8]}
    assert next(iter(found)) == "red"
    assert found == pytest.approx(FROM_RED, abs=1e-3)


def test_near_asks_nothing_before_it_is_evaluated() -> None:
    with CaptureQueriesContext(connection) as queries:
        asked = items().near("red").filter(price__lt=100)[:3]
        assert len(queries) == 0
        assert len(asked) == 3
        before = len(queries)
        assert asked[0].name == "red"
        assert len(queries) == before


def test_near_takes_a_row_a_picture_a_file_and_a_vector() -> None:
    red = items().get(name="red")
    file = io.BytesIO(picture("red"))
    assert [item.name for item in items().near(red).filter(price__lt=100)][:1] != ["red"]
    for asked in (picture("red"), file, embedding("red"), list(map(float, embedding("red")))):
        assert items().near(asked).filter(price__lt=100).first().name == "red"
    from gallery.models import Snapshot

    assert len(Snapshot.objects.near("red", search="look")[:20]) == len(COLORS)


def test_a_row_that_is_not_embedded_has_nothing_near_it_and_is_not_found() -> None:
    fresh = items().create(name="fresh", photo="none/fresh")
    try:
        near = items().near(fresh)
        assert (list(near[:5]), near.count(), near.exists()) == ([], 0, False)
        assert "fresh" not in {item.name for item in items().near("red").filter(price=0)}
        assert items().filter(clip__isnull=True).get() == fresh
    finally:
        fresh.delete()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("", "empty"),
        (3.5, "cannot search for float"),
        (
            None,
            "cannot search for NoneType; expected words, a picture, a row or its key, or numbers of shape",
        ),
        ([[1.0] * 12], r"shape \(1, 12\)"),
        ([0.0] * 12, "the vector is zero"),
        (object(), "expected words"),
        ([["x"]], "expected words"),
    ],
)
def test_near_refuses_what_cannot_be_searched_for(asked: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        items().near(asked)


@isolate_apps("gallery")
def test_a_vector_of_other_dimensions_is_refused() -> None:
    class Known(models.Model):
        photo = models.BinaryField()
        clip = ImageSearch("photo", model="demo")
        objects = ImageSearchManager()

        class Meta:
            app_label = "gallery"

    with pytest.raises(UsageError, match=r"the vector has shape \(3,\); expected \(256,\)"):
        Known.objects.near([1.0] * 3)
    # A team's own embedder has to be loaded to know, so it is the database that is asked.
    near = items().near([1.0] * 3)
    for ask in (near.count, lambda: list(near[:3])):
        with pytest.raises(UsageError, match=r"the vector has shape \(3,\); expected \(12,\)"):
            ask()


def test_a_hint_names_the_command_as_a_django_project_runs_it() -> None:
    with (
        override_settings(IMGVEC={"EMBED": "worker"}),
        pytest.raises(NoWorkerError, match=r"start one: python manage\.py imgvec worker gallery_item_clip"),
    ):
        list(items().near("words that nobody has embedded")[:3])


@isolate_apps("gallery")
def test_near_names_a_field_that_its_distance_would_hide() -> None:
    class Measured(models.Model):
        photo = models.BinaryField()
        distance = models.FloatField()
        clip = ImageSearch("photo", model="demo")
        objects = ImageSearchManager()

        class Meta:
            app_label = "gallery"

    with pytest.raises(ValueError, match="'distance' conflicts with a field on the model"):
        Measured.objects.near([1.0] * 12)


def test_near_must_be_told_which_of_two_searches() -> None:
    from gallery.models import Review, Snapshot

    with pytest.raises(UsageError, match=r"several image searches \(look, second\)"):
        Snapshot.objects.near("red")
    with pytest.raises(UsageError, match=r"expected a saved gallery\.Snapshot"):
        Snapshot.objects.near(items().first(), search="look")
    from imgvec_pg.django.queryset import ImageSearchQuerySet

    with pytest.raises(UsageError, match=r"gallery\.Review has no ImageSearch"):
        ImageSearchQuerySet(Review).near("red")


# Each as a Django developer writes it; the second says whether PostgreSQL finds it by the HNSW index.
SHAPES = {
    "filter": lambda near: near.filter(price__lt=2000),
    "filter of a relation": lambda near: near.filter(category__name="plain"),
    "exclude": lambda near: near.exclude(price__gt=2000),
    "exclude over a many-to-many": lambda near: near.exclude(tags__name="old"),
    "Q": lambda near: near.filter(Q(price__lt=500) | Q(price__gt=900)),
    "annotate": lambda near: near.annotate(doubled=F("price") * 2),
    "similarity": lambda near: near.annotate(similarity=1 - F("distance")),
    "select_related": lambda near: near.select_related("category", "clip"),
    "prefetch_related": lambda near: near.prefetch_related("tags", "reviews"),
    "only": lambda near: near.only("name"),
    "values": lambda near: near.values("name", "distance"),
    "values_list without distance": lambda near: near.values_list("name", flat=True),
    "aggregate": lambda near: near.annotate(stars=Avg("reviews__stars"), n=Count("reviews")),
    "aggregate, then filter": lambda near: near.annotate(n=Count("reviews")).filter(price__lt=2000),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_natural_shapes_keep_the_index_and_the_answer_of_an_exact_search(shape: str) -> None:
    compose = SHAPES[shape]
    with CaptureQueriesContext(connection) as queries:
        found = list(compose(items().near("red"))[:5])
    asked = [
        query["sql"] for query in queries if " OPERATOR(" in query["sql"] and "EXPLAIN" not in query["sql"]
    ]
    with connection.cursor() as cursor:
        # The planner is told so by the search itself.
        cursor.execute("SET enable_sort = off")
        cursor.execute(f"EXPLAIN {asked[0]}")
        assert "gallery_item_clip_embedding_hnsw" in str(cursor.fetchall()), shape
        cursor.execute("RESET enable_sort")
        assert sum(" LIMIT 5" in sql for sql in asked) == 1, "the first scan was enough"
        cursor.execute("SET enable_indexscan = off")
        try:
            exact = list(compose(items().near("red", complete=False))[:5])
        finally:
            cursor.execute("RESET enable_indexscan")
    assert found == exact
    assert len(found) == 5


def test_a_slice_is_never_short_while_more_match() -> None:
    # The last 30 prices: an index scan alone meets few of them.
    rare = items().filter(price__gte=100 + ROWS - 30)
    with connection.cursor() as cursor:
        cursor.execute("SET hnsw.ef_search = 10")
    try:
        assert len(rare.near("red")[:25]) == 25
        distances = [item.distance for item in rare.near("red")[:25]]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET hnsw.ef_search")
    assert distances == sorted(distances)


# Each has more than 100 rows, and none is asked by near()'s own statements.
UNSLICED: dict[str, Any] = {
    "filter by an aggregate": lambda near: len(near.annotate(n=Count("tags")).filter(n=0)[:100]),
    "two orders": lambda near: len(near.order_by("distance", "price")[:100]),
    "distinct": lambda near: len(near.distinct()[:100]),
    "iterator": lambda near: len(list(near[:100].iterator())),
    "count": lambda near: near[:100].count(),
    "aggregate": lambda near: near[:100].aggregate(n=Count("pk"))["n"],
    "subquery": lambda near: items().filter(pk__in=near.values("pk")[:100]).count(),
    "union": lambda near: len(near[:60].union(near.reverse()[:40])),
    "values grouped": lambda near: len(near.values("name").annotate(n=Count("pk"))[:100]),
}


@pytest.mark.parametrize("shape", [*UNSLICED, "aggregate before near"])
def test_no_shape_of_a_slice_ends_with_the_index_scan(shape: str) -> None:
    with connection.cursor() as cursor:
        # As the planner chooses by itself on a larger table.
        cursor.execute("SET enable_sort = off; SET enable_seqscan = off")
    try:
        assert len(items().near("red", complete=False)[:100]) == 40, "the index scan ends at ef_search"
        if shape == "aggregate before near":
            assert len(items().annotate(n=Count("reviews")).near("red")[:100]) == 100
        else:
            assert UNSLICED[shape](items().near("red")) == 100
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET enable_sort; RESET enable_seqscan")


def test_an_aggregate_filtered_over_its_relation_is_not_short() -> None:
    near = items().near("red").filter(price__lt=100)
    reviewed = near.annotate(n=Count("reviews")).filter(reviews__stars__gte=1)
    every = list(reviewed)
    assert len(every) == 6
    assert {item.pk for item in reviewed[:6]} == {item.pk for item in every}
    assert len(reviewed[4:6]) == 2
    assert len(near.annotate(n=Count("reviews")).extra(where=["price > 4"])[:4]) == 4


def test_groups_by_values_are_of_the_nearest_rows() -> None:
    near = items().near("red").filter(price__lt=100)
    grouped = near.values("category__name").annotate(n=Count("pk"))
    # As Django documents it of every order: it is grouped by that too.
    assert list(grouped[:1]) == [{"category__name": "bright", "n": 1}]
    assert list(grouped.order_by("-n")[:3]) == [
        {"category__name": "bright", "n": 6},
        {"category__name": "plain", "n": 2},
    ]


def test_more_candidates_than_one_scan_gives_are_taken_from_the_index_alone() -> None:
    near = items().near("red").filter(price__gt=500)
    backend = _QuerySetBackend(
        near, "default", near._near, has_distance=True, is_restricted=True, has_lists=False
    )
    with transaction.atomic():
        backend.set(
            {**DEFAULT_SCAN_SETTINGS, "hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": "1000"}
        )
        with CaptureQueriesContext(connection) as queries:
            found = backend.fetch(5, 2500)
        assert found == backend.fetch(5, None)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {queries[-1]['sql']}")
            assert "gallery_item_clip_embedding_hnsw" in str(cursor.fetchall())
        assert backend.expect_rows() == pytest.approx(ROWS - 400, rel=0.2)


def test_pages_count_and_aggregates_agree() -> None:
    near = items().near("red").filter(price__lt=100)
    pages = Paginator(near, 3)
    assert (pages.count, pages.num_pages) == (8, 3)
    names = [item.name for number in pages.page_range for item in pages.page(number)]
    assert names == [item.name for item in near[:8]]
    assert near.filter(distance__lt=0.7).count() == 4
    assert near.aggregate(nearest=models.Min("distance"))["nearest"] == pytest.approx(0, abs=1e-3)
    counted = near.annotate(n=Count("reviews"))[:8]
    assert {item.name: item.n for item in counted} == {c: n % 3 for n, c in enumerate(COLORS, 1)}
    assert [item.n > 1 for item in near.annotate(n=Count("reviews")).filter(n__gt=1)[:8]] == [True] * 3


def test_settings_of_the_session_are_left_as_they_were_even_in_a_transaction() -> None:
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SET LOCAL hnsw.ef_search = 77")
        list(items().near("red")[:5])
        cursor.execute("SHOW hnsw.ef_search")
        assert cursor.fetchone() == ("77",)
        cursor.execute("SHOW hnsw.iterative_scan")
        assert cursor.fetchone() == ("off",)
    transaction.set_autocommit(False)
    try:
        list(items().near("red")[:5])
        with connection.cursor() as cursor:
            cursor.execute("SHOW enable_sort")
            assert cursor.fetchone() == ("on",)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_a_filtered_slice_takes_four_statements_in_a_transaction_of_its_own() -> None:
    near = items().near("red").filter(price__gt=5)
    list(near[:5])
    with CaptureQueriesContext(connection) as queries:
        list(near.all()[:5])
    kinds = ("BEGIN", "search_state", "EXPLAIN", "set_config", "SELECT", "COMMIT")
    assert len(queries) == len(kinds)
    assert all(kind in query["sql"] for kind, query in zip(kinds, queries, strict=True))


def test_near_works_over_a_pool_and_asynchronously() -> None:
    assert items().using("pooled").near("red")[:1][0].name == "red"

    async def ask() -> list[str]:
        return [item.name async for item in items().near(embedding("red"))[:2]]

    assert asyncio.run(ask())[0] == "red"


def test_the_relation_tells_when_a_row_was_embedded() -> None:
    red = items().select_related("clip").get(name="red")
    assert red.clip.precision == "fp32"
    assert list(items().filter(clip__embedded_at__gte=red.clip.embedded_at, name="red")) == [red]


def test_deleting_through_django_takes_the_embedding_along() -> None:
    from gallery.models import Snapshot

    gone = Snapshot.objects.create(content=picture("red"))
    gone.delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM imgvec.gallery_snapshot_look_embedding")
        assert cursor.fetchone() == (len(COLORS),)


def test_the_admin_shows_pictures_status_and_more_like_this() -> None:
    get_user_model().objects.create_superuser("root", password="secret")
    broken = items().create(name='<script>alert("x")</script>', photo="none/at-all")
    collection = "SELECT id FROM imgvec.collection WHERE name = 'gallery_item_clip'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
            f" VALUES (({collection}), %s, 1, 'not_found', 'gone', 3)",
            [Jsonb({"id": broken.pk})],
        )
    red = items().get(name="red")
    client = Client()
    try:
        assert client.get("/admin/gallery/item/similar/").status_code == 302
        assert client.get(f"/admin/gallery/item/{red.pk}/picture/").status_code == 302
        client.login(username="root", password="secret")
        listed = client.get("/admin/gallery/item/?price__lt=100").content.decode()
        assert f"/admin/gallery/item/{red.pk}/picture/" in listed
        assert "ready" in listed and "failed: not_found" in listed
        assert "<script>alert" not in listed
        shown = client.get(f"/admin/gallery/item/{red.pk}/picture/")
        assert shown["Content-Type"] == "image/jpeg" and shown.content.startswith(b"\xff\xd8")
        assert client.get(f"/admin/gallery/item/{broken.pk}/picture/").status_code == 404
        assert (
            client.get(f"/admin/gallery/item/similar/?like={red.pk}").content.decode().count("?like=") == 24
        )
        words = client.get(
            "/admin/gallery/item/similar/", {"q": '"><script>alert(1)</script> red'}
        ).content.decode()
        assert "red" in words and "<script>alert(1)" not in words
        assert (
            "not embedded yet"
            in client.get(f"/admin/gallery/item/similar/?like={broken.pk}").content.decode()
        )
        assert client.get("/admin/gallery/item/similar/?like=nonsense").status_code == 404
    finally:
        broken.delete()


def test_the_admins_list_takes_as_many_queries_for_many_rows_without_embedding_as_for_one() -> None:
    user = get_user_model().objects.create_superuser("counting", password="secret")
    client = Client()
    client.force_login(user)

    def queries_of_the_list() -> int:
        with CaptureQueriesContext(connection) as captured:
            page = client.get("/admin/gallery/item/?price__gte=1000000").content.decode()
        assert page.count("waiting") == items().filter(price__gte=1_000_000).count()
        return len(captured)

    try:
        items().create(name="waits", photo="none/0", price=1_000_000)
        of_one = queries_of_the_list()
        items().bulk_create(items().model(name="waits", photo=f"none/{n}", price=1_000_000) for n in range(9))
        assert queries_of_the_list() == of_one
    finally:
        items().filter(price__gte=1_000_000).delete()


def test_checks_of_a_sound_project_find_nothing() -> None:
    assert run_checks() == []


def faults() -> list[tuple[str, dict[str, Any], str]]:
    photo = models.ImageField(upload_to="x")
    return [
        ("imgvec_pg.E001", {"photo": photo, "clip": ImageSearch("photo")}, "names no model"),
        (
            "imgvec_pg.E002",
            {"photo": photo, "clip": ImageSearch("photo", model="no-such")},
            "no model 'no-such'",
        ),
        pytest.param(
            "imgvec_pg.E002",
            {"photo": photo, "clip": ImageSearch("photo", model="ViT-B-32x/laion2b_s34b_b79k")},
            "no architecture 'ViT-B-32x'",
            marks=pytest.mark.skipif(not has_models_extra(), reason="only OpenCLIP tells what it has"),
        ),
        (
            "imgvec_pg.E003",
            {"photo": photo, "clip": ImageSearch("photo", model="demo", collection="_" + "n" * 40)},
            "cannot name a collection",
        ),
        (
            "imgvec_pg.E011",
            {"photo": photo, "distance": models.IntegerField(), "clip": ImageSearch("photo", model="demo")},
            'has a field "distance"',
        ),
        ("imgvec_pg.E003", {"photo": photo, "clip": ImageSearch("photo", model="demo", m=1)}, "m"),
        (
            "imgvec_pg.E003",
            {"photo": photo, "clip": ImageSearch("photo", model="demo", collection="Bad Name")},
            "cannot name a collection",
        ),
        (
            "imgvec_pg.E004",
            {
                "pk": models.CompositePrimaryKey("a", "b"),
                "a": models.IntegerField(),
                "b": models.IntegerField(),
                "photo": photo,
                "clip": ImageSearch("photo", model="demo"),
            },
            "composite primary key",
        ),
        ("imgvec_pg.E005", {"photo": photo, "clip": ImageSearch("image", model="demo")}, 'about "image"'),
        (
            "imgvec_pg.E006",
            {"photo": models.IntegerField(), "clip": ImageSearch("photo", model="demo")},
            "is a IntegerField",
        ),
        (
            "imgvec_pg.E015",
            {
                "name": models.CharField(max_length=9),
                "photo": models.GeneratedField(
                    expression=F("name"), output_field=models.CharField(max_length=9), db_persist=False
                ),
                "clip": ImageSearch("photo", model="demo", root="/srv"),
            },
            "is a virtual GeneratedField",
        ),
        (
            "imgvec_pg.E006",
            {
                "name": models.IntegerField(),
                "photo": models.GeneratedField(
                    expression=F("name"), output_field=models.IntegerField(), db_persist=True
                ),
                "clip": ImageSearch("photo", model="demo", root="/srv"),
            },
            "is a IntegerField",
        ),
        (
            "imgvec_pg.E007",
            {"photo": models.CharField(max_length=9), "clip": ImageSearch("photo", model="demo")},
            "which folder",
        ),
        (
            "imgvec_pg.E013",
            {"photo": models.URLField(), "clip": ImageSearch("photo", model="demo")},
            "nothing says which of them may be fetched",
        ),
        (
            "imgvec_pg.E003",
            {
                "photo": models.URLField(),
                "clip": ImageSearch("photo", model="demo", url_prefixes=["images.example.com"]),
            },
            '"images.example.com" is no beginning of URLs',
        ),
        (
            "imgvec_pg.E003",
            {"photo": photo, "clip": ImageSearch("photo", model="demo", quantization="int8")},
            "quantization is 'int8'",
        ),
    ]


@isolate_apps("gallery")
def test_the_hint_for_a_table_that_django_does_not_manage_makes_its_collection(
    project: str, plugin_environment: dict[str, str]
) -> None:
    class Scanned(models.Model):
        number = models.IntegerField(primary_key=True, db_column="no")
        scan = models.CharField(max_length=99, db_column="File name")
        side = models.IntegerField()
        look = ImageSearch(
            "scan",
            model="color-grid",
            watch=["side"],
            root="/srv/scans",
            prompt="a {} page",
            url_prefixes=["https://scans.example.com", "s3://scans"],
            m=8,
            quantization="bit",
            partitions=2,
            bands=[8, 4, 3],
            foreign_key=False,
        )

        class Meta:
            app_label = "gallery"
            managed = False
            db_table = 'Archive"."scanned'

    with connection.cursor() as cursor:
        cursor.execute('CREATE SCHEMA "Archive"')
        cursor.execute('CREATE TABLE "Archive".scanned (no int PRIMARY KEY, "File name" text, side int)')
    [info] = _check(Scanned._image_searches["look"])
    assert info.id == "imgvec_pg.I001" and 'SILENCED_SYSTEM_CHECKS = ["imgvec_pg.I001"]' in info.hint
    command = info.hint.splitlines()[0].partition("manage.py imgvec ")[2]
    arguments = [*shlex.split(command), "--dsn", project]
    subprocess.run([sys.executable, "-m", "imgvec_pg", *arguments], env=plugin_environment, check=True)
    made = get_collection(psycopg_connection("default"), Scanned._image_searches["look"].collection)
    assert (made.source_schema, made.path_column, made.root) == ("Archive", "File name", "/srv/scans")
    assert (made.prompt, list(made.watch_columns), made.has_foreign_key, made.m) == (
        "a {} page",
        ["File name", "side"],
        False,
        8,
    )
    assert made.url_prefixes == ["https://scans.example.com", "s3://scans"]
    assert (made.quantization, made.partitions, list(made.bands)) == ("bit", 2, [8, 4, 3])


@isolate_apps("gallery")
def test_every_field_of_the_spec_can_be_declared_and_arrives_in_the_database() -> None:
    names = {"name": "collection"}
    assert {names.get(field, field) for field in sayable("ImageSearch")} <= set(
        inspect.signature(ImageSearch).parameters
    )

    class Product(models.Model):
        photo = models.URLField(db_column="file", null=True)
        scan = models.BinaryField(null=True)
        crop = models.TextField(null=True)
        all = ImageSearch(
            ["scan", "photo"],
            collection=SPEC.name,
            model="demo",
            **{field: getattr(SPEC, field) for field in OPTIONS},
        )

        class Meta:
            app_label = "gallery"

    assert list(_check(Product._image_searches["all"])) == []
    [index] = Product._meta.indexes
    text, imports = MigrationWriter.serialize(index)
    written = eval(text, {"imgvec_pg": imgvec_pg})  # noqa: S307
    assert imports == {"import imgvec_pg.django.indexes"}
    assert written.declared == index.clone().declared == index.declared
    with transaction.atomic():
        with connection.schema_editor() as editor:
            editor.create_model(Product)
        made = registered(psycopg_connection("default"))
        transaction.set_rollback(True)
    assert made == vars(replace(SPEC, source="public.gallery_product", image=["file", "scan"]))


@isolate_apps("gallery")
def test_other_urls_and_another_root_change_the_collection_in_place() -> None:
    class Shot(models.Model):
        photo = models.CharField(max_length=99)
        clip = ImageSearch("photo", model="color-grid", root="/srv/photos")

        class Meta:
            app_label = "gallery"

    [old] = Shot._meta.indexes
    urls = ["https://images.example.com"]
    new = CollectionIndex(
        fields=["photo"], name=old.name, model="color-grid", root="/srv/new", url_prefixes=urls
    )
    found: list[dict[str, object]] = []
    with transaction.atomic():
        with connection.schema_editor() as editor:
            editor.create_model(Shot)
        Shot.objects.create(photo="1.jpg")
        raw = psycopg_connection("default")
        raw.execute(
            "INSERT INTO imgvec.gallery_shot_clip_embedding (id, embedding, version, content_hash, precision)"
            " SELECT id, array_fill(0.2887::real, ARRAY[12])::vector, 1, '', 'fp32' FROM gallery_shot"
        )
        for before, after in ((old, new), (new, old)):
            with connection.schema_editor() as editor:
                editor.remove_index(Shot, before)
                editor.add_index(Shot, after)
            found.append(registered(raw, old.name))
        assert raw.execute("SELECT count(*) FROM imgvec.gallery_shot_clip_embedding").fetchone() == (1,)
        transaction.set_rollback(True)
    assert [(made["root"], made["url_prefixes"]) for made in found] == [
        ("/srv/new", ("https://images.example.com",)),
        ("/srv/photos", ()),
    ]


@pytest.mark.parametrize(("code", "attributes", "text"), faults())
@isolate_apps("gallery")
def test_checks_name_what_is_wrong(code: str, attributes: dict[str, Any], text: str) -> None:
    made = type("Faulty", (models.Model,), {"__module__": "gallery.models", **attributes})
    found = list(_check(made._image_searches["clip"]))
    assert [message.id for message in found] == [code]
    assert text in found[0].msg
    # Django's own checks say nothing of the same fault.
    told = [message for message in made.check(databases=["default"]) if "index" in message.msg]
    assert told == []


@isolate_apps("gallery")
def test_checks_name_the_table_that_holds_an_inherited_field() -> None:
    class Parent(models.Model):
        photo = models.BinaryField()

        class Meta:
            app_label = "gallery"

    class Child(Parent):
        clip = ImageSearch("photo", model="demo")

        class Meta:
            app_label = "gallery"

    [found] = [*_check(Child._image_searches["clip"]), *Child.check(databases=["default"])]
    assert found.id == "imgvec_pg.E010"
    assert "the table of gallery.Parent holds" in found.msg


@pytest.mark.parametrize(
    ("given", "text"),
    [({"EMBED": "wrkr"}, "is 'wrkr'"), ({"EMBD": "worker"}, "no 'EMBD'"), ("worker", "is a str")],
)
def test_checks_name_what_is_wrong_in_the_settings(given: Any, text: str) -> None:
    with override_settings(IMGVEC=given):
        [found] = run_checks()
    assert found.id == "imgvec_pg.E012" and text in found.msg


@isolate_apps("gallery")
def test_checks_refuse_two_collections_of_one_name_or_of_one_field_and_model() -> None:
    class Twice(models.Model):
        photo = models.ImageField()
        one = ImageSearch("photo", model="demo")
        two = ImageSearch("photo", model="demo", collection="gallery_twice_one")

        class Meta:
            app_label = "gallery"

    found = _check_together(list(Twice._image_searches.values()))
    assert [message.id for message in found] == ["imgvec_pg.E008", "imgvec_pg.E009"]


def test_djangos_last_migration_brings_the_schema_to_the_librarys_newest_revision() -> None:
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(None)
    (last,) = loader.graph.leaf_nodes("imgvec_pg")
    revisions = [operation.revision for operation in loader.disk_migrations[last].operations]
    assert revisions == [newest_revision()]


def test_a_file_open_as_text_is_refused() -> None:
    from gallery.models import Item

    with pytest.raises(UsageError, match="open as text"):
        Item.objects.near(io.StringIO("red"))


@pytest.mark.parametrize("schema", ["ext", "public"])
def test_a_running_process_follows_the_extension_into_another_schema(
    project: str, monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    monkeypatch.setattr(imgvec_pg.django.connection_dsn, "VECTOR_SCHEMA_SECONDS", 0.2)
    monkeypatch.setattr(imgvec_pg.django.connection_dsn, "_vector_schemas", {})
    before = [item.pk for item in items().near("red")[:5]]
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS ext")
        cursor.execute(f"ALTER EXTENSION vector SET SCHEMA {schema}")
    call_command("imgvec", "migrate")
    time.sleep(0.25)
    assert [item.pk for item in items().near("red")[:5]] == before
    assert [item.pk for item in items().filter(price__gt=0).near("red")[:5]] == before


def test_near_takes_a_key_and_a_path_as_sqlalchemys_does(tmp_path: Any) -> None:
    from gallery.models import Snapshot

    red = items().get(name="red")
    expected = list(colored().near(red)[:3])
    assert list(colored().near(red.pk)[:3]) == list(colored().near(np.int64(red.pk))[:3]) == expected
    assert red not in expected and colored().near(red.pk).count() == len(COLORS) - 1
    (tmp_path / "red.png").write_bytes(picture("red"))
    assert colored().near(tmp_path / "red.png")[0].name == "red"
    snapshot = Snapshot.objects.first()
    assert snapshot is not None
    assert list(Snapshot.objects.near(snapshot.pk, search="look")[:2]) == list(
        Snapshot.objects.near(snapshot, search="look")[:2]
    )
    assert list(items().near(10**9)[:3]) == []
    for asked, told in (
        (tmp_path / "none.png", "cannot be read: No such file"),
        (snapshot.pk, "expected a key of gallery.Item, which is a BigAutoField"),
        (True, "cannot search for bool"),
    ):
        with pytest.raises(UsageError, match=told):
            items().near(asked)


@isolate_apps("gallery")
def test_a_search_that_is_inherited_and_given_anew_is_replaced() -> None:
    class Pictured(models.Model):
        photo = models.BinaryField()
        clip = ImageSearch("photo", model="demo")

        class Meta:
            abstract = True

    class Plain(Pictured):
        class Meta:
            app_label = "gallery"

    class Cat(Pictured):
        clip = ImageSearch("photo", model="demo", collection="my_cats")

        class Meta:
            app_label = "gallery"

    class Middle(Pictured):
        clip = ImageSearch("photo", model="demo", m=8)

        class Meta:
            abstract = True

    class Dog(Middle):
        class Meta:
            app_label = "gallery"

    class Unsearched(Pictured):
        clip = None

        class Meta:
            app_label = "gallery"

    def made(model: Any) -> list[tuple[str, int]]:
        return [(index.name, index.declared.m) for index in model._meta.indexes]

    assert made(Plain) == [("gallery_plain_clip", 16)]
    assert made(Cat) == [("my_cats", 16)]
    assert made(Dog) == [("gallery_dog_clip", 8)]
    assert made(Unsearched) == [] and not hasattr(Unsearched, "_image_searches")
    assert list(_check_together([m._image_searches["clip"] for m in (Plain, Cat, Dog)])) == []


@isolate_apps("gallery")
def test_a_generated_field_holds_paths_where_it_is_stored() -> None:
    class Stored(models.Model):
        name = models.CharField(max_length=20)
        file = models.GeneratedField(
            expression=Concat("name", models.Value(".png")),
            output_field=models.CharField(max_length=30),
            db_persist=True,
        )
        clip = ImageSearch("file", model="color-grid", root="/srv/photos")

        class Meta:
            app_label = "gallery"

    assert list(_check(Stored._image_searches["clip"])) == []
    with transaction.atomic():
        with connection.schema_editor() as editor:
            editor.create_model(Stored)
        raw = psycopg_connection("default")
        row = Stored.objects.create(name="a")
        Stored.objects.filter(pk=row.pk).update(name="b")
        collection = get_collection(raw, "gallery_stored_clip")
        jobs = raw.execute("SELECT keys FROM imgvec.job WHERE collection_id = %s", [collection.id]).fetchall()
        transaction.set_rollback(True)
    assert (collection.path_column, len(jobs)) == ("file", 2)


@isolate_apps("gallery")
def test_the_admin_of_a_model_without_its_search_is_an_error_of_check() -> None:
    class Bare(models.Model):
        class Meta:
            app_label = "gallery"

    def told(model: type[models.Model], **attributes: Any) -> list[str]:
        made = type("Made", (ImageSearchAdmin, ModelAdmin), attributes)
        return [f"{message.id} {message.msg}" for message in made(model, site).check()]

    from gallery.models import Item, Snapshot

    assert told(Item) == told(Snapshot, image_search="look") == []
    assert told(Bare) == [
        'imgvec_pg.E014 gallery.Bare has no ImageSearch; add one, such as clip = ImageSearch("photo", model="demo")'
    ]
    assert "has several image searches (look, second)" in told(Snapshot)[0]
    assert 'has no image search "none"' in told(Item, image_search="none")[0]


def test_a_row_without_a_picture_is_said_to_have_none_in_the_admin() -> None:
    shown = site._registry[items().model]
    blank = items().create(name="blank", photo="")
    try:
        assert shown.image_status(blank) == "no picture"
        assert shown.image_status(items().model(pk=10**9, name="waits", photo="x")) == "waiting"
    finally:
        blank.delete()


def test_a_test_embeds_in_its_own_transaction_and_process() -> None:
    from gallery.models import Snapshot

    with transaction.atomic():
        new = Snapshot.objects.create(content=picture("teal"))
        Snapshot.objects.create(content=b"")
        assert embed_now(Snapshot) == 2 * (len(COLORS) + 1)
        assert Snapshot.objects.near("teal", search="look")[0] == new
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM imgvec.status WHERE collection LIKE 'gallery_snapshot%%' AND waiting > 0"
            )
            assert cursor.fetchone() == (0,)
        transaction.set_rollback(True)
    assert Snapshot.objects.near("red", search="look").count() == len(COLORS)


@pytest.fixture
def shared() -> Iterator[Any]:
    """Items from price 100 on, of whom three each have one picture, the last 300 one between them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE imgvec.gallery_item_clip_embedding AS e SET content_hash = sha256(o.first::text::bytea), embedding = ("
            "   SELECT i.embedding FROM imgvec.gallery_item_clip_embedding AS i WHERE i.id = o.first)"
            " FROM (SELECT id, first_value(id) OVER (PARTITION BY CASE WHEN price < 2800 THEN price / 3 ELSE -1 END ORDER BY id)"
            " AS first FROM gallery_item WHERE price >= 100) AS o WHERE o.id = e.id"
        )
        yield items().filter(price__gte=100)
        transaction.set_rollback(True)


def nearest_pictures(rows: Any, asked: np.ndarray, k: int) -> list[tuple[int, int]]:
    """Return (primary key, copies) by comparing every row in Python."""
    pictures: dict[bytes, list[Any]] = {}
    for row in rows.select_related("clip").order_by("pk"):
        pictures.setdefault(bytes(row.clip.content_hash) or str(row.pk).encode(), []).append(row)
    shown = [
        (1 - float(np.array(copies[0].clip.embedding, float) @ asked), copies[0].pk, len(copies))
        for copies in pictures.values()
    ]
    return [(key, copies) for _, key, copies in sorted(shown)[:k]]


def test_distinct_gives_each_picture_once_by_its_lowest_key(shared: Any) -> None:
    asked = np.random.default_rng(5).normal(size=12)
    asked /= np.linalg.norm(asked)
    for rows in (shared, shared.filter(price__gte=2700), shared.filter(price__contains="7")):
        found = rows.near(asked, distinct=True)
        truth = nearest_pictures(rows, asked, 20)
        got = [(row.pk, row.copies) for row in found[:20]]
        # The index may miss some.
        assert len(set(got) & set(truth)) >= 18
        assert [row.distance for row in found[:20]] == sorted(row.distance for row in found[:20])
        assert [(row.pk, row.copies) for row in found][:20] == truth
        assert found.count() == len(list(found)) == len(nearest_pictures(rows, asked, 3000))
    # What follows is about the row shown: price 101 and 103 are first of their pictures.
    assert {row.price for row in shared.near(asked, distinct=True).filter(price__lt=105)[:9]} == {100, 102}


def test_distinct_is_complete_where_one_picture_fills_the_index_scan(shared: Any) -> None:
    island = shared.get(price=2800)
    found = list(shared.near(island, distinct=True)[:30])
    assert len(found) == 30
    assert (found[0].price, found[0].copies) == (2801, 299)
    assert found[0].distance == pytest.approx(0, abs=1e-3)


def test_an_index_over_different_pictures_is_used(project: str) -> None:
    from gallery.models import Item

    asked = np.random.default_rng(5).normal(size=12)
    asked /= np.linalg.norm(asked)
    name_pictures = (
        "UPDATE imgvec.gallery_item_clip_embedding AS e SET content_hash = sha256(o.first::text::bytea), embedding = ("
        "   SELECT i.embedding FROM imgvec.gallery_item_clip_embedding AS i WHERE i.id = o.first)"
        " FROM (SELECT id, first_value(id) OVER (PARTITION BY price / 3 ORDER BY id) AS first FROM gallery_item"
        " WHERE price >= 100) AS o WHERE o.id = e.id"
    )
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE kept AS SELECT * FROM imgvec.gallery_item_clip_embedding")
        cursor.execute(name_pictures)
    try:
        call_command("imgvec", "index", "rebuild", "gallery_item_clip")
        rows = Item.objects.filter(price__gte=100)
        exact = sorted((row.distance for row in rows.near(asked)), key=float)[:20]
        with CaptureQueriesContext(connection) as captured:
            found = list(rows.near(asked)[:20])
        assert [row.distance for row in found] == pytest.approx(exact)
        (search,) = [query["sql"] for query in captured if "near_gallery_item_clip" in query["sql"]]
        with connection.cursor() as cursor:
            cursor.execute("SET enable_sort = off")
            cursor.execute(f"EXPLAIN {search}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            cursor.execute("RESET enable_sort")
        assert "gallery_item_clip_picture" in plan and "hnsw" in plan
        got = [(row.pk, row.copies) for row in rows.near(asked, distinct=True)[:20]]
        assert got == nearest_pictures(rows, asked, 20)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE imgvec.gallery_item_clip_embedding AS e SET embedding = k.embedding, content_hash = k.content_hash"
                " FROM kept AS k WHERE k.id = e.id"
            )
            cursor.execute("DROP TABLE kept")
        call_command("imgvec", "index", "rebuild", "gallery_item_clip")


def test_rows_of_unknown_pictures_are_one_each_and_pages_are_whole() -> None:
    page = Paginator(items().filter(price__gte=100).near([1.0] * 12, distinct=True), 50).page(2)
    assert page.paginator.count == ROWS
    assert [row.copies for row in page] == [1] * 50
    with pytest.raises(ValueError, match="copies"):
        items().annotate(copies=Count("reviews")).values("copies", "pk").near("red", distinct=True)


@pytest.fixture
def burst() -> Iterator[tuple[Any, np.ndarray]]:
    """1,300 items as near copies of one direction, and a query beside them."""
    draw = np.random.default_rng(11)
    middle = np.zeros(12)
    middle[:2] = 0.8, 0.6
    copies = middle + 0.02 * draw.standard_normal((1300, 12))
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    asked = middle + np.eye(12)[5] * 0.3
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE imgvec.gallery_item_clip_embedding AS e SET embedding = u.v::halfvec FROM ("
            " SELECT id, row_number() OVER (ORDER BY id) AS n FROM gallery_item WHERE price >= 1800) AS i"
            " JOIN unnest(%s::text[]) WITH ORDINALITY AS u (v, n) USING (n) WHERE i.id = e.id",
            [[str(vector.tolist()) for vector in copies]],
        )
        yield items(), asked / np.linalg.norm(asked)
        transaction.set_rollback(True)


@pytest.mark.parametrize("shape", ["objects", "values", "row"])
def test_a_list_that_one_burst_fills_is_searched_on(burst: tuple[Any, np.ndarray], shape: str) -> None:
    rows, asked = burst
    if shape == "row":
        with connection.cursor() as cursor:
            item = rows.get(price=150)
            cursor.execute(
                "UPDATE imgvec.gallery_item_clip_embedding SET embedding = %s::halfvec WHERE id = %s",
                [str(asked.tolist()), item.pk],
            )
            asked = item
    exact = [row.pk for row in rows.near(asked)][:10]
    near = rows.near(asked)
    with CaptureQueriesContext(connection) as queries:
        # Without the distances the index's list is looked at each time.
        found = [row.pk for row in near[:10]] if shape != "values" else list(near.values_list("pk")[:10])
    (head,) = [query["sql"] for query in queries if "first_value" in query["sql"]]
    assert ("near_gallery_item_clip_row" in head) == (shape == "row")
    # A wider list would cost more than comparing all of so few rows.
    assert found == [key if shape != "values" else (key,) for key in exact]
    assert len([query for query in queries if "<=>" in query["sql"] and query["sql"] != head]) == 2
    assert "+ 0)" in queries[-2]["sql"]
