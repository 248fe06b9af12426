-- imgvec.ask_worker(model_id, words, image): have a running worker embed a text (its prompt in it) or a picture, through
-- imgvec.relay_request, which `imgvec words setup` makes; with neither, see whether a worker answers, and return NULL.
-- Waits as imgvec.text_timeout says and raises when nothing comes of it.
CREATE FUNCTION imgvec.ask_worker(model_id integer, words text, image bytea) RETURNS {vector}.halfvec
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    timeout_ms CONSTANT integer := imgvec.text_timeout_ms();
    answer record;
BEGIN
    IF to_regprocedure('imgvec.relay_request(integer,text,bytea,integer)') IS NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = CASE WHEN words IS NULL THEN 'this database cannot ask a worker to embed a picture yet'
                ELSE format('the text "%s" has not been embedded yet', left(words, 80)) END,
            HINT = CASE WHEN words IS NULL THEN 'Run imgvec words setup, or embed it in the client: imgvec search --image FILE.'
                ELSE 'CALL imgvec.prepare_text(collection, words) has a worker embed it; imgvec words setup lets queries do so themselves.' END;
    END IF;
    -- Seen before a connection is opened, so that a stampede does not take them all. A standby has no such table.
    IF NOT pg_is_in_recovery() AND (SELECT w.is_full FROM imgvec.requests_waiting(session_user::text) AS w) THEN
        PERFORM imgvec.raise_no_answer($1, 'full', timeout_ms);
    END IF;
    SELECT r.outcome, r.embedding, r.error, r.note INTO answer FROM imgvec.relay_request($1, $2, $3, timeout_ms) AS r;
    IF answer.outcome <> 'answered' THEN
        PERFORM imgvec.raise_no_answer($1, answer.outcome, timeout_ms);
    ELSIF answer.error IS NOT NULL THEN
        RAISE external_routine_exception USING MESSAGE = 'the worker could not embed this: ' || answer.error,
            HINT = 'Ask with other words or another picture.';
    END IF;
    IF answer.note IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = answer.note;
    END IF;
    RETURN answer.embedding::{vector}.halfvec;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.ask_worker(integer, text, bytea) FROM PUBLIC;
