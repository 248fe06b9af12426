-- imgvec.text_request_limit(): how many requests of one role may wait for a worker: imgvec.max_text_requests as it is set for the
-- database (ALTER DATABASE), 16 where it is not. A session may ask for less, not for more: else one could take it all.
CREATE FUNCTION imgvec.text_request_limit() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN least(
        nullif(current_setting('imgvec.max_text_requests', true), '')::bigint,
        coalesce((SELECT split_part(c.setting, '=', 2)::bigint
                  FROM pg_db_role_setting AS s
                  JOIN pg_database AS d ON d.oid = s.setdatabase AND d.datname = current_database(),
                      unnest(s.setconfig) AS c(setting)
                  WHERE s.setrole = 0 AND starts_with(c.setting, 'imgvec.max_text_requests=')), 16));
END
$function$;
REVOKE ALL ON FUNCTION imgvec.text_request_limit() FROM PUBLIC;
