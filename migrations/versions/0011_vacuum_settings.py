"""Tables of vectors have settings of their own for autovacuum, by what VACUUM of an HNSW index costs."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0011"
down_revision = "imgvec_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        op.execute(as_alembic_text("tables/embedding_vacuum.sql"))


def downgrade() -> None:
    """Nothing: earlier releases work with them as well, and which of them somebody set is not known."""
