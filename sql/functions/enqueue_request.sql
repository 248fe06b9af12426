-- imgvec.enqueue_request(model_id, words, image, timeout_ms): imgvec.enqueue_request_of the role that is logged in. It waits at most ten
-- minutes. SECURITY DEFINER: readers may not write the table, or one could file any number, for any time.
CREATE FUNCTION imgvec.enqueue_request(model_id integer, words text, image bytea, timeout_ms integer) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN imgvec.enqueue_request_of(session_user::text, $1, $2, $3, $4);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.enqueue_request(integer, text, bytea, integer) FROM PUBLIC;
