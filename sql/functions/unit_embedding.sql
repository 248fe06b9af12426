-- imgvec.unit_embedding(direction): a vector at norm 1 as embedding tables hold them; raises where nothing is left of
-- it, since no row is near a zero vector. IMMUTABLE.
CREATE OR REPLACE FUNCTION imgvec.unit_embedding(direction {vector}.vector) RETURNS {vector}.halfvec
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF $1 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the vector is NULL',
            HINT = 'Pass a vector; a row that is not embedded yet has none.';
    END IF;
    -- What rounding leaves of unit vectors that cancel out is smaller.
    IF {vector}.vector_norm($1) < 1e-4 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the vectors cancel each other out: no direction is left to search in',
            HINT = 'Give other rows or other weights.';
    END IF;
    RETURN {vector}.l2_normalize($1)::{vector}.halfvec;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.unit_embedding({vector}.vector) FROM PUBLIC;
