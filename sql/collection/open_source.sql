-- A source that shows all its rows: so do the embeddings, until it hides some. Then readers are refused rather than shown what they may
-- not see, until `imgvec collection reconcile` has the embeddings follow it (row_security.sql).
ALTER TABLE imgvec.{embedding_table} ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS while_source_is_open ON imgvec.{embedding_table};
CREATE POLICY while_source_is_open ON imgvec.{embedding_table} FOR SELECT
    USING ((SELECT imgvec.source_is_open({collection_id})));
{worker_policy}
