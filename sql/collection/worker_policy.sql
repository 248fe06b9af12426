-- Workers write any row; policies of the source are none of theirs.
DO $policy$
BEGIN
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        DROP POLICY IF EXISTS worker_writes ON imgvec.{embedding_table};
        CREATE POLICY worker_writes ON imgvec.{embedding_table} TO imgvec_worker USING (true) WITH CHECK (true);
    END IF;
END
$policy$;
