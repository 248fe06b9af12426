"""What people decided about duplicates, functions to decide, and the check of a radius that within_* share."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, load_sql

revision = "imgvec_0005"
down_revision = "imgvec_0004"
branch_labels = None
depends_on = None


FILES = (
    "tables/duplicate_decision.sql",
    "functions/decide_duplicate.sql",
    "functions/within_radius.sql",
    "grants.sql",
)


def upgrade() -> None:
    # As in 0001: names mean PostgreSQL's own, and an application's path is put back.
    op.execute(
        "SELECT pg_catalog.set_config('imgvec.search_path', pg_catalog.current_setting('search_path'), true)"
    )
    op.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    refuse = load_sql("functions/refuse_collection.sql")
    for name in FILES:
        op.execute(as_alembic_text(name, refuse_collection=refuse))
    # With a version table of ours the path ends with the transaction: Alembic's own UPDATE of it is still to come.
    if op.get_context().version_table_schema != "imgvec":
        op.execute(
            "SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('imgvec.search_path'), true)"
        )


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute(
        "DROP FUNCTION imgvec.decide_duplicate_group(text, integer, text), "
        "imgvec.decide_duplicate(text, jsonb, jsonb, text), imgvec.decide_duplicate_content(bytea, bytea, text), "
        "imgvec.content_hash_of(text, jsonb), imgvec.within_radius(double precision, double precision)"
    )
    op.execute("DROP TABLE imgvec.duplicate_decision")
