-- A role sees the pictures of the embeddings that it sees, no others: one that only hidden rows have is nowhere.
ALTER TABLE imgvec.{picture_table} ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS while_source_is_open ON imgvec.{picture_table};
DROP POLICY IF EXISTS follow_source ON imgvec.{picture_table};
CREATE POLICY follow_source ON imgvec.{picture_table} FOR SELECT
    USING (EXISTS (SELECT FROM imgvec.{embedding_table} AS e
                   WHERE e.content_hash OPERATOR(pg_catalog.=) {picture_table}.content_hash));
{worker_policy}
