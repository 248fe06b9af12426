"""Which bands of pictures of many are shown, as a collection says."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0006"
down_revision = "imgvec_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        op.execute(as_alembic_text("tables/collection_bands.sql"))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute("ALTER TABLE imgvec.collection DROP COLUMN bands")
