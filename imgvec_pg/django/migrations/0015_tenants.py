"""What the library's fifteenth revision adds: an index for each large tenant counts as the collection's."""

from typing import Any, ClassVar

from django.db import migrations

from imgvec_pg.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    """Not atomic: the schema is upgraded in a transaction of its own, and again without harm."""

    atomic = False
    dependencies: ClassVar[list[Any]] = [("imgvec_pg", "0014_bit_candidates")]
    operations: ClassVar[list[Any]] = [UpgradeSchema("imgvec_0015", "imgvec_0014")]
