-- The embedding table of one collection: the source's own key, typed, and the vector beside it.
-- reference_hash: SHA-256 of what the row said of its picture (Collection.parts), null where unknown; by it reconcile finds
-- changes that no trigger saw.
-- halfvec keeps 512 dimensions in line; the CHECK refuses zero vectors, which HNSW would never find. It works out the norm once:
-- BETWEEN, as tables had it before, does so twice, a tenth of COPY.
CREATE TABLE imgvec.{embedding_table} (
    {key_definitions},
    embedding {vector}.halfvec({dimensions}) NOT NULL,
    version bigint NOT NULL,
    content_hash bytea NOT NULL,
    precision text NOT NULL,
    embedded_at timestamptz NOT NULL DEFAULT now(),
    reference_hash bytea,
    PRIMARY KEY ({keys}),
    CONSTRAINT embedding_is_unit CHECK (pg_catalog.abs({vector}.l2_norm(embedding) - 1::float8) <= 0.001::float8)
)
{storage};
-- By it a worker finds the vector of a picture that another row has already (find_known.sql), and copies_* counts.
CREATE INDEX {content_index} ON imgvec.{embedding_table} (content_hash);
COMMENT ON TABLE imgvec.{embedding_table} IS {comment};
