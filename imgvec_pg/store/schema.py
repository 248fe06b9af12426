"""The tables of the schema imgvec as SQLAlchemy models. Migrations create them, `imgvec collection create` embedding tables."""

import uuid
from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    case,
    func,
    literal_column,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL, REGCLASS, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from imgvec_pg.store.mixin import EmbeddingMixin as EmbeddingMixin

TimestampTz = TIMESTAMP(timezone=True)


class ReadableTimestampTz(TypeDecorator[datetime]):
    """A time that others write: NULL where Python has no such date, for which psycopg would raise for the whole answer.

    A CHECK keeps such dates out; a database may be older than that, or have been restored without it.
    """

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def column_expression(self, column: ColumnElement[datetime]) -> ColumnElement[Any]:
        """Return what is selected for the column."""
        first: ColumnElement[Any] = literal_column("'0002-01-01 00:00:00+00'::timestamptz")
        end: ColumnElement[Any] = literal_column("'9999-01-01 00:00:00+00'::timestamptz")
        return case((and_(column >= first, column < end), type_coerce(column, self)))


class Base(DeclarativeBase):
    """Declarative base of imgvec's own schema."""

    metadata = MetaData(schema="imgvec")


class Image(Base):
    """One picture of the built-in library: `uri` or `content`, exactly one; `content_hash` is SHA-256."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("uri", name="image_uri_key"),
        CheckConstraint("num_nonnulls(uri, content) = 1", name="image_has_one_source"),
        Index("image_content_hash", "content_hash"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    uri: Mapped[str | None] = mapped_column(Text)
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    media_type: Mapped[str] = mapped_column(Text)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    taken_at: Mapped[datetime | None] = mapped_column(ReadableTimestampTz)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class ImageEmbedding(EmbeddingMixin, Base):
    """Embeddings of the built-in library, for a collection that is called `image`.

    That is `imgvec collection create image --library --model …`; for one of another name map a class of your own.
    """

    __source__ = Image
    __collection__ = "image"

    image: Mapped[Image] = relationship(Image, viewonly=True)


class Model(Base):
    """A model that collections are embedded by."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("name", name="model_name_key"),)

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    dimensions: Mapped[int] = mapped_column(Integer)
    has_text: Mapped[bool]
    fingerprint: Mapped[str | None] = mapped_column(Text)
    weights_sha256: Mapped[str | None] = mapped_column(Text)
    logit_scale: Mapped[float | None] = mapped_column(Double)
    logit_bias: Mapped[float | None] = mapped_column(Double)
    images_per_second: Mapped[float | None] = mapped_column(REAL)
    created_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class CollectionRow(Base):
    """One image source embedded by one model."""

    __tablename__ = "collection"
    __table_args__ = (UniqueConstraint("name", name="collection_name_key"),)

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    model_id: Mapped[int] = mapped_column(ForeignKey("imgvec.model.id", name="collection_model_id_fkey"))
    source: Mapped[str] = mapped_column(REGCLASS)
    key_columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    key_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    key_equality_schemas: Mapped[list[str]] = mapped_column(ARRAY(Text))
    path_column: Mapped[str | None] = mapped_column(Text)
    content_column: Mapped[str | None] = mapped_column(Text)
    watch_columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    root: Mapped[str | None] = mapped_column(Text)
    url_prefixes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'::text[]"))
    has_foreign_key: Mapped[bool]
    m: Mapped[int] = mapped_column(SmallInteger, server_default=text("16"))
    ef_construction: Mapped[int] = mapped_column(SmallInteger, server_default=text("64"))
    ef_search: Mapped[int | None] = mapped_column(SmallInteger)
    quantization: Mapped[str | None] = mapped_column(Text)
    prompt: Mapped[str] = mapped_column(Text, server_default=text("'{}'"))
    listing_after: Mapped[Any | None] = mapped_column(JSONB)
    listed_at: Mapped[datetime | None] = mapped_column(TimestampTz)
    created_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())
    partitions_seen: Mapped[str | None] = mapped_column(Text)
    rendering: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    rendering_since: Mapped[datetime | None] = mapped_column(TimestampTz)
    rendering_from: Mapped[int | None] = mapped_column(SmallInteger)
    rendering_after: Mapped[Any | None] = mapped_column(JSONB)
    bands: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{}'::integer[]"))
    by_picture: Mapped[bool] = mapped_column(server_default=text("false"))
    index_method: Mapped[str] = mapped_column(Text, server_default=text("'hnsw'"))
    lists: Mapped[int | None] = mapped_column(Integer)
    probes: Mapped[int | None] = mapped_column(Integer)
    has_radius_index: Mapped[bool] = mapped_column(server_default=text("false"))


class UnseenChange(Base):
    """A change of a source that a trigger could not file."""

    __tablename__ = "unseen_change"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    collection_id: Mapped[int]
    relation: Mapped[str] = mapped_column(REGCLASS)
    message: Mapped[str] = mapped_column(Text)
    noted_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class Alias(Base):
    """A stable name that points to one collection."""

    __tablename__ = "alias"
    __table_args__ = (Index("alias_collection_id", "collection_id"),)

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    collection_id: Mapped[int] = mapped_column(
        ForeignKey("imgvec.collection.id", name="alias_collection_id_fkey", ondelete="CASCADE")
    )
    previous_id: Mapped[int | None] = mapped_column(
        ForeignKey("imgvec.collection.id", name="alias_previous_id_fkey", ondelete="SET NULL")
    )
    switched_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class GoldenVector(Base):
    """Golden vector: embedding of a fixed image or text at the first use of a model."""

    __tablename__ = "golden_vector"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("imgvec.model.id", name="golden_vector_model_id_fkey", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    embedding: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    precision: Mapped[str] = mapped_column(Text)
    stored_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


version_seq = Sequence("version_seq", metadata=Base.metadata, schema="imgvec")


class Job(Base):
    """A slice of a collection's keys waiting to be embedded."""

    __tablename__ = "job"
    __table_args__ = (Index("job_due", "collection_id", text("(version = 0)"), "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    collection_id: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(BigInteger)
    keys: Mapped[Any] = mapped_column(JSONB)
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    deaths: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    token: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(TimestampTz)
    run_after: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class Failure(Base):
    """A row that could not be embedded, and why."""

    __tablename__ = "failure"

    collection_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key: Mapped[Any] = mapped_column(JSONB, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    code: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(SmallInteger)
    failed_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())
    reference_hash: Mapped[bytes | None] = mapped_column(LargeBinary)


class TextEmbedding(Base):
    """Cache of embedded texts."""

    __tablename__ = "text_embedding"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("imgvec.model.id", name="text_embedding_model_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    text: Mapped[str] = mapped_column(Text, primary_key=True)
    embedding: Mapped[Any] = mapped_column(HALFVEC())
    used_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())
    note: Mapped[str | None] = mapped_column(Text)


class WorkerRow(Base):
    """A live worker and its activity."""

    __tablename__ = "worker"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(Integer)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    device: Mapped[str] = mapped_column(Text)
    activity: Mapped[str] = mapped_column(Text)
    images_done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    images_per_second: Mapped[float] = mapped_column(REAL, server_default=text("0"))
    started_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class EmbeddingRequest(Base):
    """A text or an image that a query waits for."""

    __tablename__ = "embedding_request"
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 - SQLAlchemy's own protocol

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    asker: Mapped[str] = mapped_column(Text, server_default=text("SESSION_USER"))
    asked_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.clock_timestamp())
    model_id: Mapped[int] = mapped_column(Integer)
    text: Mapped[str | None] = mapped_column(Text)
    image: Mapped[bytes | None] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(TimestampTz)
    claimed_until: Mapped[datetime | None] = mapped_column(TimestampTz)
    answered_at: Mapped[datetime | None] = mapped_column(TimestampTz)
    embedding: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)


class Calibration(Base):
    """Quantiles of the distances of random pairs of a collection: two rows, or words and a row."""

    __tablename__ = "calibration"

    collection_id: Mapped[int] = mapped_column(
        ForeignKey("imgvec.collection.id", name="calibration_collection_id_fkey", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    pairs_of: Mapped[str] = mapped_column(Text, primary_key=True)
    percentiles: Mapped[list[float]] = mapped_column(ARRAY(Double))
    distances: Mapped[list[float]] = mapped_column(ARRAY(Double))
    pair_count: Mapped[int] = mapped_column(BigInteger)
    sampled_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())


class DuplicateDecision(Base):
    """What somebody decided about two pictures, by the hashes of their bytes, the lower first."""

    __tablename__ = "duplicate_decision"
    __table_args__ = (
        CheckConstraint("content_hash <= other_content_hash", name="duplicate_decision_is_ordered"),
        CheckConstraint(
            "decision IN ('same', 'not_the_same', 'keep_both', 'ignore')", name="duplicate_decision_is_known"
        ),
        Index("duplicate_decision_other", "other_content_hash"),
    )

    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    other_content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    decision: Mapped[str] = mapped_column(Text)
    decided_by: Mapped[str] = mapped_column(Text, server_default=text("SESSION_USER"))
    decided_at: Mapped[datetime] = mapped_column(TimestampTz, server_default=func.now())
