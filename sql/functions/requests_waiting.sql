-- imgvec.requests_waiting(asker, OUT is_full, OUT has_leftovers): whether as many requests of this login role wait for a worker as
-- imgvec.text_request_limit() allows, or four times as many of all roles together; and whether some were left behind long ago.
-- So one role cannot keep the others from asking. SECURITY DEFINER, since readers may not see who asks.
CREATE FUNCTION imgvec.requests_waiting(asker text, OUT is_full boolean, OUT has_leftovers boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    role_limit CONSTANT bigint := imgvec.text_request_limit();
BEGIN
    SELECT count(*) FILTER (WHERE r.answered_at IS NULL AND r.expires_at > clock_timestamp() AND r.asker = $1) >= role_limit
               OR count(*) FILTER (WHERE r.answered_at IS NULL AND r.expires_at > clock_timestamp()) >= 4 * role_limit,
           coalesce(bool_or(r.expires_at < clock_timestamp() - interval '10 s'), false)
    INTO is_full, has_leftovers
    FROM imgvec.embedding_request AS r;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.requests_waiting(text) FROM PUBLIC;
