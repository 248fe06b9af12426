"""Maps that are there show names that are values of a column to those alone who may read it; readers see whether workers run."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0012"
down_revision = "imgvec_0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        for name in ("tables/map_names.sql", "grants.sql"):
            op.execute(as_alembic_text(name))


def downgrade() -> None:
    """Nothing: earlier releases work with these policies as well."""
