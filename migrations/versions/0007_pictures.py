"""Whether a collection's searches ask an index over its different pictures; search_state and index_state find it too."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0007"
down_revision = "imgvec_0006"
branch_labels = None
depends_on = None


FILES = (
    "tables/collection_by_picture.sql",
    "functions/search_state.sql",
    "functions/index_state.sql",
    "grants.sql",
)


def upgrade() -> None:
    with pinned_revision_path():
        for name in FILES:
            op.execute(as_alembic_text(name))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    # The functions look for a table of pictures, of which there is none then.
    op.execute("ALTER TABLE imgvec.collection DROP COLUMN by_picture")
