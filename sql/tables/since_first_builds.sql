-- What 0001 makes since, for a database whose 0001 is of a build of before: it has no imgvec.text_query. Functions that name the
-- extension's schema are made again by `imgvec migrate` itself.
DO $since$
DECLARE
    statement text;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname = 'text_query') THEN
        RETURN;
    END IF;
    -- Nobody waits for longer than a moment.
    DELETE FROM imgvec.embedding_request;
    ALTER TABLE imgvec.embedding_request
        ADD COLUMN asker text NOT NULL DEFAULT session_user,
        ADD COLUMN asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        ADD COLUMN note text,
        ADD CONSTRAINT embedding_request_expires_soon CHECK (expires_at <= asked_at + interval '10 minutes');
    ALTER TABLE imgvec.text_embedding ADD COLUMN note text;
    UPDATE imgvec.image SET taken_at = NULL
    WHERE taken_at < '0002-01-01 00:00:00+00'::timestamptz OR taken_at >= '9999-01-01 00:00:00+00'::timestamptz;
    ALTER TABLE imgvec.image ADD CONSTRAINT image_taken_at_is_readable
        CHECK (taken_at >= '0002-01-01 00:00:00+00'::timestamptz AND taken_at < '9999-01-01 00:00:00+00'::timestamptz);
    DROP FUNCTION IF EXISTS imgvec.requests_waiting();
    DROP VIEW imgvec.status, imgvec.failures;
    FOREACH statement IN ARRAY {statements}::text[] LOOP
        EXECUTE replace(replace(statement, 'CREATE FUNCTION', 'CREATE OR REPLACE FUNCTION'), 'CREATE PROCEDURE', 'CREATE OR REPLACE PROCEDURE');
    END LOOP;
END
$since$;
