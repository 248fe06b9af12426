"""What the library's fourth revision adds: versions of rendering, and blank pictures."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0003_distances_and_unseen_changes")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0004", "imgvec_0003")]
