-- imgvec.relay_request(model_id, words, image, timeout_ms): file a request through a second session, which commits it as
-- the asking query cannot, and wait there for the answer. outcome: 'answered', 'full' (too many wait), 'silent' (nobody
-- answered in time) or 'standby'. embedding is the vector as text; note says that the model read only the beginning of the words.
-- SECURITY DEFINER, since readers may not open connections. It may belong to a superuser: so it calls nothing that
-- another role could have made, and the second session runs as the owner of the schema imgvec, never with more rights.
CREATE OR REPLACE FUNCTION imgvec.relay_request(
    model_id integer, words text, image bytea, timeout_ms integer,
    OUT outcome text, OUT embedding text, OUT error text, OUT note text
)
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    link CONSTANT text := 'imgvec_words';
    limit_ms CONSTANT integer := least($4, 600000);
    began CONSTANT timestamptz := clock_timestamp();
    waited_ms double precision;
    request_id uuid;
BEGIN
    outcome := 'silent';
    IF {is_standby} THEN
        outcome := 'standby';
        RETURN;
    END IF;
    -- Left behind by a query that was cancelled. There is no exception block here to clean up, since PostgreSQL 16
    -- refuses one within a parallel plan; the other end hangs up by itself (idle_session_timeout).
    IF link = ANY ({dblink}.dblink_get_connections()) THEN
        PERFORM {dblink}.dblink_disconnect(link);
    END IF;
    PERFORM {dblink}.dblink_connect(link, {connection});
    SELECT r.id INTO request_id FROM {dblink}.dblink(
        link, format('SELECT imgvec.enqueue_request_of(%L, %L, %L, %L, %L)', session_user, $1, $2, $3, limit_ms)
    ) AS r(id uuid);
    IF request_id IS NULL THEN
        outcome := 'full';
    END IF;
    WHILE request_id IS NOT NULL LOOP
        SELECT a.embedding, a.error, a.note INTO embedding, error, note FROM {dblink}.dblink(link, format(
            'DELETE FROM imgvec.embedding_request WHERE id = %L AND answered_at IS NOT NULL RETURNING embedding, error, note',
            request_id
        )) AS a(embedding text, error text, note text);
        IF FOUND THEN
            outcome := 'answered';
            EXIT;
        END IF;
        waited_ms := 1000 * extract(epoch FROM clock_timestamp() - began);
        IF waited_ms >= limit_ms THEN
            PERFORM {dblink}.dblink_exec(link, format('DELETE FROM imgvec.embedding_request WHERE id = %L', request_id));
            EXIT;
        END IF;
        -- A tenth of the time waited so far, 1 to 20 ms: late by that at most, and cancelled as soon.
        PERFORM pg_sleep(least(greatest(waited_ms / 10, 1), 20, limit_ms - waited_ms) / 1000);
    END LOOP;
    PERFORM {dblink}.dblink_disconnect(link);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.relay_request(integer, text, bytea, integer) FROM PUBLIC;
DO $grants$
DECLARE
    role_name regrole;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[to_regrole('imgvec_reader'), to_regrole('imgvec_worker'),
                                     (SELECT n.nspowner::regrole FROM pg_namespace AS n WHERE n.nspname = 'imgvec')] LOOP
        CONTINUE WHEN role_name IS NULL;
        EXECUTE format('GRANT EXECUTE ON FUNCTION imgvec.relay_request(integer, text, bytea, integer) TO %s', role_name);
    END LOOP;
END
$grants$;
