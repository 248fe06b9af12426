-- imgvec.evict_texts(max_age, max_rows): forget cached texts that nobody used for max_age, and the longest unused ones
-- beyond max_rows; give their number. Where an argument is NULL the settings imgvec.text_cache_age ('90 days' where it is
-- not set) and imgvec.text_cache_rows (100000) decide. Workers run it every hour. A forgotten text is embedded anew.
CREATE FUNCTION imgvec.evict_texts(max_age interval DEFAULT NULL, max_rows bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    age_limit interval := coalesce($1, nullif(current_setting('imgvec.text_cache_age', true), '')::interval, interval '90 days');
    row_limit bigint := coalesce($2, nullif(current_setting('imgvec.text_cache_rows', true), '')::bigint, 100000);
    too_old bigint;
    too_many bigint;
BEGIN
    IF age_limit < interval '0' OR row_limit < 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the cache of texts cannot be kept to %s rows of at most %s', row_limit, age_limit),
            HINT = 'Give 0 or more of both, such as imgvec.evict_texts(interval ''30 days'', 10000).';
    END IF;
    DELETE FROM imgvec.text_embedding AS t WHERE t.used_at < now() - age_limit;
    GET DIAGNOSTICS too_old = ROW_COUNT;
    DELETE FROM imgvec.text_embedding AS t
    WHERE t.ctid = ANY (ARRAY(SELECT u.ctid FROM imgvec.text_embedding AS u ORDER BY u.used_at DESC OFFSET row_limit));
    GET DIAGNOSTICS too_many = ROW_COUNT;
    RETURN too_old + too_many;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.evict_texts(interval, bigint) FROM PUBLIC;
