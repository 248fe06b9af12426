"""A collection with an index of bits may be tuned to more than 1,000 candidates."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0014"
down_revision = "imgvec_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        op.execute(as_alembic_text("tables/collection_bit_candidates.sql"))


def downgrade() -> None:
    op.execute("UPDATE imgvec.collection SET ef_search = 1000 WHERE ef_search > 1000")
    op.execute("ALTER TABLE imgvec.collection DROP CONSTRAINT collection_ef_search_range")
    op.execute(
        "ALTER TABLE imgvec.collection ADD CONSTRAINT collection_ef_search_range CHECK (ef_search BETWEEN 1 AND 1000)"
    )
