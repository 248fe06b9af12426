"""Collections that span other servers: which servers, and which collections."""

from alembic import op

from imgvec_pg.database.sql_templates import as_alembic_text, pinned_revision_path

revision = "imgvec_0010"
down_revision = "imgvec_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with pinned_revision_path():
        for name in ("tables/shard.sql", "grants.sql"):
            op.execute(as_alembic_text(name))


def downgrade() -> None:
    op.execute(as_alembic_text("require_no_collections.sql"))
    op.execute(as_alembic_text("shards/remove_servers.sql"))
    # Those that `imgvec shard add` makes go with 0001's.
    op.execute("DROP TABLE imgvec.sharded_collection, imgvec.shard")
