-- imgvec.calibration_of(collection, pairs_of): the collection's calibration; raises where there is none. STABLE.
CREATE FUNCTION imgvec.calibration_of(collection text, pairs_of text) RETURNS imgvec.calibration
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    found_id integer;
    found_curve imgvec.calibration;
BEGIN
    SELECT c.id INTO found_id FROM imgvec.collection AS c
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        {refuse_collection}
    END IF;
    IF $2 IS NULL OR $2 NOT IN ('rows', 'words') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('pairs of "%s" are not sampled; expected rows or words', coalesce($2, 'NULL')),
            HINT = '''rows'' for the distance of two rows, ''words'' for that of words and a row.';
    END IF;
    SELECT s.* INTO found_curve FROM imgvec.calibration AS s WHERE s.collection_id = found_id AND s.pairs_of = $2;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('collection "%s" has not been calibrated for %s', $1, $2),
            HINT = format('Run: imgvec calibrate %s', $1);
    END IF;
    RETURN found_curve;
END
$function$;

-- imgvec.percentile(collection, distance, pairs_of): the share in per cent, 0 to 100, of random pairs that are at most this
-- far apart: 0.1 says "nearer than 99.9 % of random pairs", whatever the model. Interpolated between stored quantiles; 0
-- below the nearest sampled pair. STABLE.
CREATE FUNCTION imgvec.percentile(collection text, distance double precision, pairs_of text DEFAULT 'rows')
RETURNS double precision
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    curve imgvec.calibration := imgvec.calibration_of($1, $3);
    last integer := cardinality(curve.distances);
    below integer;
    step double precision;
BEGIN
    IF $2 IS NULL THEN
        RETURN NULL;
    ELSIF $2 = 'NaN' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'the distance is NaN; expected 0 to 2', HINT = 'The distance to a zero vector is NaN.';
    END IF;
    -- The quantiles ascend: the number of those not above the distance is also the place of the last of them.
    below := width_bucket($2, curve.distances);
    IF below = 0 THEN
        RETURN 0;
    ELSIF below = last THEN
        RETURN 100;
    END IF;
    step := ($2 - curve.distances[below]) / (curve.distances[below + 1] - curve.distances[below]);
    RETURN curve.percentiles[below] + step * (curve.percentiles[below + 1] - curve.percentiles[below]);
END
$function$;

-- imgvec.distance_at(collection, percentile, pairs_of): the distance that this share in per cent, 0 to 100, of random pairs
-- does not exceed: a threshold that means the same with each model. STABLE.
CREATE FUNCTION imgvec.distance_at(collection text, percentile double precision, pairs_of text DEFAULT 'rows')
RETURNS double precision
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    curve imgvec.calibration := imgvec.calibration_of($1, $3);
    below integer;
    step double precision;
BEGIN
    IF $2 IS NULL OR NOT $2 BETWEEN 0 AND 100 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the percentile is %s; expected 0 to 100', coalesce($2::text, 'NULL')),
            HINT = '0.1 asks for the distance that one random pair in a thousand does not exceed.';
    END IF;
    below := least(width_bucket($2, curve.percentiles), cardinality(curve.percentiles) - 1);
    step := ($2 - curve.percentiles[below]) / (curve.percentiles[below + 1] - curve.percentiles[below]);
    RETURN curve.distances[below] + step * (curve.distances[below + 1] - curve.distances[below]);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.calibration_of(text, text), imgvec.percentile(text, double precision, text),
    imgvec.distance_at(text, double precision, text) FROM PUBLIC;
