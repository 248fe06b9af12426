-- The embeddings of a collection on all shards as one table without rows of its own, each shard's table being a child of it: for near_*, which
-- other tables are joined with.
CREATE TABLE imgvec.{embedding_table} (
    {key_definitions},
    embedding {vector}.halfvec({dimensions}) NOT NULL,
    -- It has no rows of its own; a plan without conditions looks all the same.
    CONSTRAINT rows_lie_on_shards CHECK (false) NO INHERIT
);
COMMENT ON TABLE imgvec.{embedding_table} IS {comment};
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{embedding_table} TO imgvec_reader;
    END IF;
END
$grants$;
