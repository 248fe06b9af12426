-- A role sees the vectors of the rows it may see in the source, no others; the HNSW plan stays.
ALTER TABLE imgvec.{embedding_table} ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS follow_source ON imgvec.{embedding_table};
CREATE POLICY follow_source ON imgvec.{embedding_table} FOR SELECT
    USING (EXISTS (SELECT FROM {relation} AS s WHERE {s_equals_embedding}));
DO $policy$
BEGIN
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        DROP POLICY IF EXISTS worker_writes ON imgvec.{embedding_table};
        CREATE POLICY worker_writes ON imgvec.{embedding_table} TO imgvec_worker USING (true) WITH CHECK (true);
    END IF;
END
$policy$;
