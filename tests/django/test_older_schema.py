"""A collection's migration upgrades a schema of an earlier release, or says in one line what to run first."""

from pathlib import Path

import pytest
from stockproject import Project

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect

MODELS = """
from django.db import models
from imgvec_pg.django import ImageSearch

class Product(models.Model):
    photo = models.BinaryField()
    clip = ImageSearch("photo", model="color-grid")
    class Meta:
        app_label = "shop"
"""


@pytest.mark.parametrize("revision", ["imgvec_0001", "imgvec_0002"])
def test_an_older_schema_is_upgraded_by_whichever_migration_comes_first(
    empty_database: str, tmp_path: Path, revision: str
) -> None:
    project = Project(tmp_path, empty_database, MODELS)
    project.manage("makemigrations", "shop")
    with connect(empty_database) as connection:
        migrations.upgrade(connection, revision)
        project.manage("migrate", "shop")
        with connect(empty_database) as fresh:
            # As after `imgvec migrate`.
            assert fresh.execute("SELECT current_setting('cursor_tuple_fraction')").fetchone() == ("1",)
        assert migrations.current_revision(connection) == migrations.newest_revision()
        assert connection.execute(
            "SELECT name FROM imgvec.collection WHERE name LIKE 'shop%'"
        ).fetchall() == [("shop_product_clip",)]
        project.manage("migrate")
        assert migrations.current_revision(connection) == migrations.newest_revision()


def test_an_upgrade_that_would_wait_for_the_migration_itself_is_refused(
    empty_database: str, tmp_path: Path
) -> None:
    project = Project(tmp_path, empty_database, MODELS)
    project.manage("makemigrations", "shop")
    made = tmp_path / "shop/migrations/0001_initial.py"
    made.write_text(
        made.read_text().replace(
            "operations = [", "operations = [migrations.RunSQL('LOCK TABLE imgvec.collection IN SHARE MODE'),"
        )
    )
    with connect(empty_database) as connection:
        migrations.upgrade(connection, "imgvec_0001")
    told = project.manage("migrate", "shop", code=1)
    assert told.endswith("works with imgvec_0006; run first: python manage.py migrate imgvec_pg\n"), told
