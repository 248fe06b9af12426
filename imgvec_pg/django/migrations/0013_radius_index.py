"""What the library's thirteenth revision adds: whether a collection has a radius index."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0012_reader_rights")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0013", "imgvec_0012")]
