-- imgvec.fuse(first, second, rank_constant): two answers about the same rows as one, by reciprocal rank: each key scores
--     1 / (rank_constant + rank in first) + 1 / (rank_constant + rank in second)
-- and nothing for a list that lacks it (Cormack, Clarke, Buettcher 2009, Reciprocal rank fusion, SIGIR '09, where the
-- constant is 60). Distances of two models cannot be compared; ranks can. The lists are arrays of keys, nearest first,
-- of up to 10,000; a key that stands twice counts where it stands first. Best score first, then by key. IMMUTABLE.
CREATE FUNCTION imgvec.fuse(first anyarray, second anyarray, rank_constant integer DEFAULT 60)
RETURNS TABLE (key anyelement, score double precision, first_rank integer, second_rank integer)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 200
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF $1 IS NULL OR $2 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a list of keys is NULL',
            HINT = 'Pass ARRAY(SELECT id FROM imgvec.search_...(...) ORDER BY distance); an empty list is ''{{}}''.';
    END IF;
    IF cardinality($1) > 10000 OR cardinality($2) > 10000 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the lists have %s and %s keys; expected at most 10000 each', cardinality($1), cardinality($2)),
            HINT = 'The first 100 of each list are enough: later ranks hardly score.';
    END IF;
    IF $3 IS NULL OR $3 < 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the rank constant is %s; expected 0 or more', coalesce($3::text, 'NULL')),
            HINT = 'The usual constant is 60; a smaller one favours the first ranks.';
    END IF;
    RETURN QUERY
    WITH listed AS (
        SELECT $1[r] AS key, (r - array_lower($1, 1) + 1) AS in_first, NULL::integer AS in_second
        FROM generate_subscripts($1, 1) AS r
        UNION ALL
        SELECT $2[r], NULL, (r - array_lower($2, 1) + 1) FROM generate_subscripts($2, 1) AS r
    ), ranked AS (
        SELECT l.key, min(l.in_first) AS in_first, min(l.in_second) AS in_second
        FROM listed AS l WHERE NOT l.key IS NULL GROUP BY l.key
    )
    SELECT r.key, coalesce(1::double precision / ($3 + r.in_first), 0) + coalesce(1::double precision / ($3 + r.in_second), 0) AS total,
           r.in_first, r.in_second
    FROM ranked AS r
    ORDER BY total DESC, r.key;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.fuse(anyarray, anyarray, integer) FROM PUBLIC;
