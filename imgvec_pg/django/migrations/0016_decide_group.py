"""What the library's sixteenth revision adds: a decision about a group of copies is written once."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0015_tenants")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0016", "imgvec_0015")]
