-- imgvec.within_radius(norm, distance): the distance, 0 to 2, by which within_<collection> compares; raises where it is none, or where the
-- query, whose norm is the first argument, is NULL or zero: no rows would look like an answer. IMMUTABLE.
CREATE FUNCTION imgvec.within_radius(norm double precision, distance double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF norm IS NULL OR NOT norm > 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the query is ' || CASE WHEN norm IS NULL THEN 'NULL' ELSE 'a zero vector' END,
            HINT = 'imgvec.embedding_of and imgvec.embed_image raise where there is no vector.';
    END IF;
    IF distance IS NULL OR NOT distance BETWEEN 0 AND 2 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the distance is %s; expected 0 to 2', coalesce(distance::text, 'NULL')),
            HINT = 'imgvec.distance_at(collection, percentile) gives one that suits the model.';
    END IF;
    RETURN distance;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.within_radius(double precision, double precision) FROM PUBLIC;
