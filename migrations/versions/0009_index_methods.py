"""Indexes of other methods than HNSW: which one a collection's is, of an IVFFlat index its lists and how many are read."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0009"
down_revision = "imgvec_0008"
branch_labels = None
depends_on = None


FILES = (
    "tables/collection_index_method.sql",
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
    # The functions stay as they are: 0001 makes them so.
    op.execute(
        "ALTER TABLE imgvec.collection DROP COLUMN index_method, DROP COLUMN lists, DROP COLUMN probes"
    )
