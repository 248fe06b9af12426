-- Undo 0001. Collections are dropped first: their triggers would fail in the application's own statements.
DO $empty$
BEGIN
    IF EXISTS (SELECT FROM imgvec.collection) THEN
        RAISE EXCEPTION 'there are collections still: %', (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM imgvec.collection AS c)
            USING HINT = 'Drop them first: imgvec collection drop NAME';
    END IF;
END
$empty$;
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
    imgvec.alias, imgvec.collection, imgvec.model, imgvec.image;
DROP SEQUENCE imgvec.version_seq;
