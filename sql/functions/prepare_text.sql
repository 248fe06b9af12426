-- CALL imgvec.prepare_text(collection, words): have words embedded by a running worker and kept in the cache, where
-- embed_text and near_*_text then find them. Needs no dblink: it commits, so it cannot stand in a transaction block.
CREATE PROCEDURE imgvec.prepare_text(collection text, words text)
LANGUAGE plpgsql
-- No SET clause: with one a procedure may not commit. Hence the qualified names.
AS $procedure$
DECLARE
    question record;
    timeout_ms integer := imgvec.text_timeout_ms();
    request_id uuid;
    answer_error text;
    answer_note text;
    waited_ms double precision;
    began timestamptz;
BEGIN
    SELECT q.model_id, q.prompted INTO question FROM imgvec.text_query($1, $2) AS q;
    IF EXISTS (SELECT FROM imgvec.text_embedding AS t WHERE t.model_id OPERATOR(pg_catalog.=) question.model_id
               AND t.text OPERATOR(pg_catalog.=) question.prompted) THEN
        RETURN;
    END IF;
    IF pg_catalog.pg_is_in_recovery() THEN
        PERFORM imgvec.raise_no_answer(question.model_id, 'standby', timeout_ms);
    END IF;
    request_id := imgvec.enqueue_request(question.model_id, question.prompted, NULL, timeout_ms);
    IF request_id IS NULL THEN
        PERFORM imgvec.raise_no_answer(question.model_id, 'full', timeout_ms);
    END IF;
    began := pg_catalog.clock_timestamp();
    LOOP
        -- A snapshot of its own for each look, whatever the isolation level.
        COMMIT;
        SELECT r.error, r.note INTO answer_error, answer_note FROM imgvec.embedding_request AS r
        WHERE r.id OPERATOR(pg_catalog.=) request_id AND r.answered_at IS NOT NULL;
        EXIT WHEN FOUND;
        waited_ms := 1000 OPERATOR(pg_catalog.*) EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) began);
        IF waited_ms OPERATOR(pg_catalog.>=) timeout_ms THEN
            PERFORM imgvec.raise_no_answer(question.model_id, 'silent', timeout_ms);
        END IF;
        PERFORM pg_catalog.pg_sleep(0.005);
    END LOOP;
    IF answer_error IS NOT NULL THEN
        RAISE external_routine_exception USING MESSAGE = pg_catalog.concat('the worker could not embed this: ', answer_error);
    ELSIF answer_note IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = answer_note;
    END IF;
END
$procedure$;
REVOKE ALL ON PROCEDURE imgvec.prepare_text(text, text) FROM PUBLIC;
