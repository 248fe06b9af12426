-- imgvec.requests_waiting(OUT is_full, OUT has_leftovers): whether as many requests wait for a worker as imgvec.max_text_requests
-- allows (16 where it is not set), and whether some were left behind long ago.
CREATE FUNCTION imgvec.requests_waiting(OUT is_full boolean, OUT has_leftovers boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    SELECT count(*) FILTER (WHERE r.answered_at IS NULL AND r.expires_at > clock_timestamp())
               >= coalesce(nullif(current_setting('imgvec.max_text_requests', true), '')::bigint, 16),
           coalesce(bool_or(r.expires_at < clock_timestamp() - interval '10 s'), false)
    INTO is_full, has_leftovers
    FROM imgvec.embedding_request AS r;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.requests_waiting() FROM PUBLIC;
