"""What the library's third revision adds: distances by name, and in imgvec.status what no trigger could file."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0002_unseen_changes")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0003", "imgvec_0002")]
