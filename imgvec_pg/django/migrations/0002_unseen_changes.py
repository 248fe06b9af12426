"""What the library's second revision adds: changes that no trigger could file, noted where workers see them."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0001_initial")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0002", "imgvec_0001")]
