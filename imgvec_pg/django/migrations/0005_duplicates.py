"""What the library's fifth revision adds: decisions about duplicates."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0004_rendering")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0005", "imgvec_0004")]
