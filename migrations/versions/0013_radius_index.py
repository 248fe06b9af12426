"""Whether a collection has a radius index, which within_* ask, and what they ask it by; no decision about a row and itself."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0013"
down_revision = "imgvec_0012"
branch_labels = None
depends_on = None

FILES = (
    "tables/collection_radius_index.sql",
    "functions/within_place.sql",
    "functions/decide_duplicate_rows.sql",
    "grants.sql",
)


def upgrade() -> None:
    with pinned_revision_path():
        for name in FILES:
            op.execute(as_alembic_text(name))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    # decide_duplicate may stay: earlier releases work with it as well.
    op.execute("DROP FUNCTION imgvec.within_place(double precision[], double precision, boolean)")
    op.execute("ALTER TABLE imgvec.collection DROP COLUMN has_radius_index")
