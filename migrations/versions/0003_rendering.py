"""Versions of rendering: which one a collection's pictures are rendered by; and blank pictures, noted beside the failures."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text

revision = "imgvec_0003"
down_revision = "imgvec_0002"
branch_labels = None
depends_on = None


FILES = (
    "tables/collection_rendering.sql",
    "views/failures.sql",
    "views/status.sql",
    "views/noted_pictures.sql",
    "grants.sql",
)


def upgrade() -> None:
    # As in 0001: names mean PostgreSQL's own, and an application's path is put back.
    op.execute(
        "SELECT pg_catalog.set_config('imgvec.search_path', pg_catalog.current_setting('search_path'), true)"
    )
    op.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    for name in FILES:
        op.execute(as_alembic_text(name))
    # With a version table of ours the path ends with the transaction: Alembic's own UPDATE of it is still to come.
    if op.get_context().version_table_schema != "imgvec":
        op.execute(
            "SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('imgvec.search_path'), true)"
        )


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute("DROP VIEW imgvec.noted_pictures")
    # The views stay as they are: 0001 makes them so.
    op.execute(
        "ALTER TABLE imgvec.collection DROP COLUMN rendering, DROP COLUMN rendering_since, DROP COLUMN rendering_from, "
        "DROP COLUMN rendering_after"
    )
