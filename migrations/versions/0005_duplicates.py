"""What people decided about duplicates, functions to decide, and the check of a radius that within_* share."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, load_sql, pinned_revision_path

revision = "imgvec_0005"
down_revision = "imgvec_0004"
branch_labels = None
depends_on = None


FILES = (
    "tables/duplicate_decision.sql",
    "functions/decide_duplicate.sql",
    "functions/decide_duplicate_group.sql",
    "functions/within_radius.sql",
    "grants.sql",
)


def upgrade() -> None:
    with pinned_revision_path():
        refuse = load_sql("functions/refuse_collection.sql")
        for name in FILES:
            op.execute(as_alembic_text(name, refuse_collection=refuse))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute(
        "DROP FUNCTION imgvec.decide_duplicate_group(text, integer, text), "
        "imgvec.decide_duplicate(text, jsonb, jsonb, text), imgvec.decide_duplicate_content(bytea, bytea, text), "
        "imgvec.content_hash_of(text, jsonb), imgvec.within_radius(double precision, double precision)"
    )
    op.execute("DROP TABLE imgvec.duplicate_decision")
