"""Versions of rendering: which one a collection's pictures are rendered by; and blank pictures, noted beside the failures."""

from alembic import op
from psycopg import sql

from imgvec_pg.database.sql_templates import as_alembic_text, load_sql, pinned_revision_path

revision = "imgvec_0004"
down_revision = "imgvec_0003"
branch_labels = None
depends_on = None


FILES = (
    "tables/collection_rendering.sql",
    "views/failures.sql",
    "views/noted_pictures.sql",
)


def make_status(blank: sql.SQL) -> None:
    op.execute(as_alembic_text("views/status.sql", unseen=load_sql("views/status_unseen.sql"), blank=blank))


def upgrade() -> None:
    with pinned_revision_path():
        for name in FILES:
            op.execute(as_alembic_text(name))
        make_status(blank=load_sql("views/status_blank.sql"))
        op.execute(as_alembic_text("grants.sql"))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute("DROP VIEW imgvec.noted_pictures")
    # imgvec.failures stays as it is: 0001 makes it so.
    op.execute("DROP VIEW imgvec.status")
    make_status(blank=sql.SQL(""))
    op.execute(as_alembic_text("grants.sql"))
    op.execute(
        "ALTER TABLE imgvec.collection DROP COLUMN rendering, DROP COLUMN rendering_since, DROP COLUMN rendering_from, "
        "DROP COLUMN rendering_after"
    )
