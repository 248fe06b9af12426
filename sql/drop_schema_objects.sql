-- Undo 0001, after require_no_collections.sql.
DROP VIEW imgvec.status, imgvec.failures;
-- In one statement, since they need each other. An extension that lives here keeps its own.
DO $routines$
DECLARE
    every_routine text := (
        SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'imgvec'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                          WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    );
BEGIN
    EXECUTE 'DROP ROUTINE ' || every_routine;
END
$routines$;
DROP TABLE imgvec.calibration, imgvec.embedding_request, imgvec.worker, imgvec.text_embedding, imgvec.failure, imgvec.job,
    imgvec.alias, imgvec.golden_vector, imgvec.collection, imgvec.model, imgvec.image;
DROP SEQUENCE imgvec.version_seq;
