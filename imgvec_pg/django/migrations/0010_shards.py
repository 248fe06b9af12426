"""What the library's tenth revision adds: collections that span other servers."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0009_index_methods")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0010", "imgvec_0009")]
