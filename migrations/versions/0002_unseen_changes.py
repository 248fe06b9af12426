"""Changes of a source that a trigger could not file, and partitions that went, noted where workers and commands see them."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0002"
down_revision = "imgvec_0001"
branch_labels = None
depends_on = None


FILES = (
    "tables/unseen_change.sql",
    "tables/collection_partitions_seen.sql",
    "functions/source_is_open.sql",
    "functions/rows_visible.sql",
    "functions/search_state.sql",
    "grants.sql",
)


def upgrade() -> None:
    with pinned_revision_path():
        for name in FILES:
            op.execute(as_alembic_text(name))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute("DROP FUNCTION imgvec.source_is_open(integer), imgvec.refuse_open(text)")
    op.execute("DROP TABLE imgvec.unseen_change")
    op.execute("ALTER TABLE imgvec.collection DROP COLUMN partitions_seen")
