-- A role sees the vectors of the rows it may see in the source, no others; the HNSW plan stays.
ALTER TABLE imgvec.{embedding_table} ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS while_source_is_open ON imgvec.{embedding_table};
DROP POLICY IF EXISTS follow_source ON imgvec.{embedding_table};
CREATE POLICY follow_source ON imgvec.{embedding_table} FOR SELECT
    USING (EXISTS (SELECT FROM {relation} AS s WHERE {s_equals_embedding}));
{worker_policy}
