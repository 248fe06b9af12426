"""Tables, roles and functions of the schema imgvec."""

from alembic import context, op
from psycopg import sql

from imgvec_pg.database.sqlfiles import as_alembic_text

revision = "0001"
down_revision = None
branch_labels = ("imgvec",)
depends_on = None

FILES = (
    "roles.sql",
    "tables/image.sql",
    "tables/model.sql",
    "tables/collection.sql",
    "tables/alias.sql",
    "tables/job.sql",
    "tables/failure.sql",
    "tables/text_embedding.sql",
    "tables/worker.sql",
    "functions/embedding_of.sql",
    "functions/last_search_way.sql",
    "grants.sql",
)


def execute_file(name: str) -> None:
    """Run one SQL file as it stands, in --sql mode too."""
    schema = context.config.attributes.get("vector_schema", "public")
    op.execute(as_alembic_text(name, vector=sql.Identifier(schema)))


def upgrade() -> None:
    for name in FILES:
        execute_file(name)
    if context.config.attributes.get("created_extension"):
        op.execute("COMMENT ON SCHEMA imgvec IS 'imgvec-pg; created the extension vector'")


def downgrade() -> None:
    execute_file("drop_schema_objects.sql")
