"""What the library's ninth revision adds: indexes of other methods than HNSW."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0008_within_found")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0009", "imgvec_0008")]
