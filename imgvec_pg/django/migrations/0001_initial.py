"""The schema imgvec at its first revision."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    initial = True
    atomic = False
    dependencies: ClassVar[list[Any]] = []
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0001")]
