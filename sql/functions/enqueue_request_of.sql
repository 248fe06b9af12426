-- imgvec.enqueue_request_of(asker, model_id, words, image, timeout_ms): file a text or a picture of a login role's for a worker of the
-- model and wake the workers; give the request's id, or NULL when too many wait already. Requests that were left behind
-- are deleted. Of use only when committed. For the owner of the schema imgvec alone, who can be believed who asks:
-- imgvec.relay_request, and imgvec.enqueue_request for all others.
CREATE FUNCTION imgvec.enqueue_request_of(asker text, model_id integer, words text, image bytea, timeout_ms integer) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    waiting record;
    now_exactly timestamptz;
    request_id uuid;
BEGIN
    -- One at a time, or a stampede would not see itself; but whoever keeps the lock, which anybody may take, keeps nobody
    -- waiting for longer than this. The first number is ours; no collection has the id -1.
    FOR attempt IN 1..50 LOOP
        EXIT WHEN pg_try_advisory_xact_lock(1768777078, -1);
        PERFORM pg_sleep(0.002);
    END LOOP;
    SELECT w.is_full, w.has_leftovers INTO waiting FROM imgvec.requests_waiting($1) AS w;
    IF waiting.has_leftovers THEN
        DELETE FROM imgvec.embedding_request AS r WHERE r.expires_at < clock_timestamp() - interval '10 s';
    END IF;
    IF waiting.is_full THEN
        RETURN NULL;
    END IF;
    now_exactly := clock_timestamp();
    INSERT INTO imgvec.embedding_request AS r (asker, asked_at, model_id, text, image, expires_at)
    VALUES ($1, now_exactly, $2, $3, $4, now_exactly + least(greatest($5, 1), 600000) * interval '1 ms')
    RETURNING r.id INTO request_id;
    PERFORM pg_notify('imgvec_request', $2::text);
    RETURN request_id;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.enqueue_request_of(text, integer, text, bytea, integer) FROM PUBLIC;
