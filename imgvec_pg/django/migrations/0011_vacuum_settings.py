"""What the library's eleventh revision adds: settings for autovacuum of the tables of vectors."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0010_shards")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0011", "imgvec_0010")]
