"""Tables, roles and functions of the schema imgvec."""

from alembic import context, op
from psycopg import sql

from imgvec_pg.database.migrations import prepare_database
from imgvec_pg.database.sql_templates import as_alembic_text, load_sql

# An application may have the revisions in its own tree, where 0001 may be another's.
revision = "imgvec_0001"
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
    "tables/embedding_request.sql",
    "tables/calibration.sql",
    "tables/golden_vector.sql",
    "functions/embedding_of.sql",
    "functions/text_query.sql",
    "functions/text_timeout_ms.sql",
    "functions/text_request_limit.sql",
    "functions/requests_waiting.sql",
    "functions/enqueue_request_of.sql",
    "functions/enqueue_request.sql",
    "functions/raise_no_answer.sql",
    "functions/ask_worker.sql",
    "functions/embed_text.sql",
    "functions/embed_image.sql",
    "functions/prepare_text.sql",
    "functions/evict_texts.sql",
    "functions/unit_embedding.sql",
    "functions/embeddings_of.sql",
    "functions/mean_embedding.sql",
    "functions/preference.sql",
    "functions/combine.sql",
    "functions/similarity_matrix.sql",
    "functions/fuse.sql",
    "functions/label_probabilities.sql",
    "functions/embed_labels.sql",
    "functions/percentile.sql",
    "functions/last_search_strategy.sql",
    "functions/search_state.sql",
    "functions/source_hides_rows.sql",
    "functions/rows_visible.sql",
    "functions/row_visible.sql",
    "functions/embedding_rows.sql",
    "functions/index_state.sql",
    "views/failures.sql",
    "views/status.sql",
    "grants.sql",
)


def execute_file(name: str) -> None:
    """Run one SQL file as it stands, in --sql mode too."""
    schema = context.config.attributes.get("vector_schema", "public")
    refuse = load_sql("functions/refuse_collection.sql")
    parts = {
        "vector": sql.Identifier(schema),
        "refuse_collection": refuse,
        "unseen": sql.SQL(""),
        "blank": sql.SQL(""),
    }
    op.execute(as_alembic_text(name, **parts))


def prepare() -> None:
    """Make the extension and the schema where an application's own env.py runs this, which knows of neither."""
    attributes = context.config.attributes
    if "vector_schema" in attributes:
        return
    if context.is_offline_mode():
        schema = op.get_context().opts.get("imgvec_vector_schema", "public")
        attributes["vector_schema"] = schema
        op.execute(
            as_alembic_text(
                "prepare_offline.sql", vector=sql.Identifier(schema), vector_name=sql.Literal(schema)
            )
        )
    else:
        attributes.update(prepare_database(op.get_bind().connection.driver_connection))


def upgrade() -> None:
    prepare()
    # Names mean PostgreSQL's own, not what others have put into schemas on this session's search_path; an application
    # whose own migrations follow in the same transaction gets its path back.
    op.execute(
        "SELECT pg_catalog.set_config('imgvec.search_path', pg_catalog.current_setting('search_path'), true)"
    )
    op.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    for name in FILES:
        execute_file(name)
    op.execute(
        "SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('imgvec.search_path'), true)"
    )
    if context.config.attributes.get("created_extension"):
        op.execute("COMMENT ON SCHEMA imgvec IS 'imgvec-pg; created the extension vector'")


def downgrade() -> None:
    execute_file("require_no_collections.sql")
    execute_file("drop_schema_objects.sql")
