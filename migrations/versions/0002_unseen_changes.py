"""Changes of a source that a trigger could not file, and partitions that went, noted where workers and commands see them."""

from alembic import op
from psycopg import sql

from imgvec_pg.database.sql_templates import as_alembic_text, load_sql, pinned_revision_path, render

revision = "imgvec_0002"
down_revision = "imgvec_0001"
branch_labels = None
depends_on = None


FILES = (
    "tables/unseen_change.sql",
    "tables/collection_partitions_seen.sql",
    "functions/source_is_open.sql",
    "functions/rows_visible.sql",
    "functions/search_state.sql",
    "grants.sql",
)

OF_THE_FIRST = (
    "functions/text_query.sql",
    "functions/text_request_limit.sql",
    "functions/requests_waiting.sql",
    "functions/enqueue_request_of.sql",
    "functions/enqueue_request.sql",
    "functions/raise_no_answer.sql",
    "functions/prepare_text.sql",
    "functions/fuse.sql",
    "functions/percentile.sql",
    "functions/last_search_strategy.sql",
    "functions/source_hides_rows.sql",
    "functions/embedding_rows.sql",
    "views/failures.sql",
    "views/status.sql",
)
"""Those of 0001's files that changed since its first builds, and come in no later revision as a whole."""


def add_what_first_builds_lack() -> None:
    """Bring a database up to what 0001 makes now; nothing where it is that already."""
    refuse = load_sql("functions/refuse_collection.sql")
    nothing = sql.SQL("")
    statements = [
        render(name, refuse_collection=refuse, unseen=nothing, blank=nothing).as_string(None)
        for name in OF_THE_FIRST
    ]
    op.execute(as_alembic_text("tables/since_first_builds.sql", statements=sql.Literal(statements)))


def upgrade() -> None:
    with pinned_revision_path():
        add_what_first_builds_lack()
        for name in FILES:
            op.execute(as_alembic_text(name))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute("DROP FUNCTION imgvec.source_is_open(integer), imgvec.refuse_open(text)")
    op.execute("DROP TABLE imgvec.unseen_change")
    op.execute("ALTER TABLE imgvec.collection DROP COLUMN partitions_seen")
