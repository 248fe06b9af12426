"""Deciding about a group of copies writes each decision once."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, load_sql, pinned_revision_path

revision = "imgvec_0016"
down_revision = "imgvec_0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        refuse = load_sql("functions/refuse_collection.sql")
        op.execute(as_alembic_text("functions/decide_duplicate_group.sql", refuse_collection=refuse))


def downgrade() -> None:
    """Nothing: earlier releases work with this function as well."""
