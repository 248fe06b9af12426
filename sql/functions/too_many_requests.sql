-- imgvec.too_many_requests(): whether as many requests wait for a worker as imgvec.max_text_requests allows, 16 where it
-- is not set.
CREATE FUNCTION imgvec.too_many_requests() RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN (SELECT count(*) FROM imgvec.embedding_request AS r
            WHERE r.answered_at IS NULL AND r.expires_at > clock_timestamp())
        >= coalesce(nullif(current_setting('imgvec.max_text_requests', true), '')::bigint, 16);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.too_many_requests() FROM PUBLIC;
