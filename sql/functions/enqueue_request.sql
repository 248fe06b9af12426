-- imgvec.enqueue_request(model_id, words, image, timeout_ms): file a text or a picture for a worker of the model and wake the
-- workers; give the request's id, or NULL when too many wait already. Requests that were left behind are deleted, where
-- the role may. Of use only when committed.
CREATE FUNCTION imgvec.enqueue_request(model_id integer, words text, image bytea, timeout_ms integer) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    waiting record;
    request_id uuid;
BEGIN
    -- One at a time, or a stampede would not see itself. The first number is ours; no collection has the id -1.
    PERFORM pg_advisory_xact_lock(1768777078, -1);
    SELECT w.is_full, w.has_leftovers INTO waiting FROM imgvec.requests_waiting() AS w;
    IF waiting.has_leftovers AND has_table_privilege('imgvec.embedding_request', 'DELETE') THEN
        DELETE FROM imgvec.embedding_request AS r WHERE r.expires_at < clock_timestamp() - interval '10 s';
    END IF;
    IF waiting.is_full THEN
        RETURN NULL;
    END IF;
    INSERT INTO imgvec.embedding_request AS r (model_id, text, image, expires_at)
    VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 ms')
    RETURNING r.id INTO request_id;
    PERFORM pg_notify('imgvec_request', $1::text);
    RETURN request_id;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.enqueue_request(integer, text, bytea, integer) FROM PUBLIC;
