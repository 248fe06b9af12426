"""Searches and imgvec.status know of tables whose large tenants alone have an index."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0015"
down_revision = "imgvec_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        op.execute(as_alembic_text("functions/index_state.sql"))


def downgrade() -> None:
    """Nothing: earlier releases work with this function as well."""
