"""The check of a radius search that gives no more rows than its caller allows."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0008"
down_revision = "imgvec_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        for name in ("functions/within_found.sql", "grants.sql"):
            op.execute(as_alembic_text(name))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute("DROP FUNCTION imgvec.within_found(bigint, integer, double precision)")
