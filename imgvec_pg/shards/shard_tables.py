"""The coordinator's own tables as SQLAlchemy models, for Alembic to compare with."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from imgvec_pg.store.schema import Base, TimestampTz


class ShardTable(Base):
    """A server that holds parts of collections."""

    __tablename__ = "shard"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z_][a-z0-9_]{0,39}$'", name="shard_name_is_plain"),
        CheckConstraint("timeout_ms BETWEEN 10 AND 3600000", name="shard_timeout_range"),
    )

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    timeout_ms: Mapped[int] = mapped_column(Integer, server_default=text("5000"))
    added_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class ShardedCollectionTable(Base):
    """A collection whose rows lie on shards, as all of them describe it."""

    __tablename__ = "sharded_collection"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z_][a-z0-9_]{0,39}$'", name="sharded_collection_name_is_plain"),
        CheckConstraint("cardinality(shards) > 0", name="sharded_collection_has_shards"),
    )

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    shards: Mapped[list[str]] = mapped_column(ARRAY(Text))
    key_columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    key_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    dimensions: Mapped[int] = mapped_column(Integer)
    model_name: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str | None] = mapped_column(Text)
    passed_settings: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())
