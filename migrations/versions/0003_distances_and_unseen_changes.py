"""A distance that is called by name, whatever schema the extension is in; what no trigger could file, in imgvec.status too."""

from alembic import context, op
from psycopg import sql

from imgvec_pg.database.sql_templates import as_alembic_text, load_sql, pinned_revision_path

revision = "imgvec_0003"
down_revision = "imgvec_0002"
branch_labels = None
depends_on = None


def vector() -> sql.Identifier:
    """Return the schema of the extension, in an application's own tree too, which knows of neither."""
    attributes = context.config.attributes
    if "vector_schema" in attributes:
        return sql.Identifier(attributes["vector_schema"])
    if context.is_offline_mode():
        return sql.Identifier(str(op.get_context().opts.get("imgvec_vector_schema", "public")))
    return sql.Identifier(op.get_bind().execute(as_alembic_text("alembic/vector_schema.sql")).scalar_one())


def upgrade() -> None:
    with pinned_revision_path():
        op.execute(as_alembic_text("functions/cosine_distance.sql", vector=vector()))
        op.execute(
            as_alembic_text("views/status.sql", unseen=load_sql("views/status_unseen.sql"), blank=sql.SQL(""))
        )
        op.execute(as_alembic_text("grants.sql"))


def downgrade() -> None:
    op.execute("DROP FUNCTION imgvec.cosine_distance")
    op.execute("DROP VIEW imgvec.status")
    op.execute(as_alembic_text("views/status.sql", unseen=sql.SQL(""), blank=sql.SQL("")))
    op.execute(as_alembic_text("grants.sql"))
