"""What the library's twelfth revision adds: what readers may see of older maps, and of workers."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0011_vacuum_settings")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0012", "imgvec_0011")]
