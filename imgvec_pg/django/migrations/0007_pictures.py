"""What the library's seventh revision adds: indexes over different pictures."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0006_bands")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0007", "imgvec_0006")]
