-- imgvec.combine(embeddings, weights): the weighted sum of up to 100 vectors as one query at norm 1; a negative weight
-- leads away. 0.6 of a row and 0.4 of words:
--     imgvec.combine(ARRAY[imgvec.embedding_of('c', 7), imgvec.embed_text('c', 'in red')], ARRAY[0.6, 0.4])
-- IMMUTABLE.
CREATE OR REPLACE FUNCTION imgvec.combine(embeddings {vector}.halfvec[], weights double precision[]) RETURNS {vector}.halfvec
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    dimensions integer[];
    heaviest double precision;
BEGIN
    IF $1 IS NULL OR $2 IS NULL OR array_position($1, NULL) IS NOT NULL OR array_position($2, NULL) IS NOT NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a vector or a weight is NULL',
            HINT = 'Pass an array of vectors and one of as many weights.';
    END IF;
    IF cardinality($1) <> cardinality($2) OR cardinality($1) NOT BETWEEN 1 AND 100 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s vectors and %s weights were given; expected as many of both, 1 to 100',
                             cardinality($1), cardinality($2)),
            HINT = 'Pass ARRAY[vector, vector] and ARRAY[0.6, 0.4].';
    END IF;
    -- NaN is greater than all numbers to PostgreSQL.
    IF EXISTS (SELECT FROM unnest($2) AS u(weight) WHERE abs(u.weight) > 1000) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a weight is not between -1000 and 1000',
            HINT = 'Pass weights such as 0.6, 0.4 and -0.2.';
    END IF;
    SELECT array_agg(DISTINCT {vector}.vector_dims(u.embedding)) INTO dimensions FROM unnest($1) AS u(embedding);
    IF cardinality(dimensions) > 1 THEN
        RAISE data_exception USING
            MESSAGE = format('the vectors have different dimensions: %s', array_to_string(dimensions, ', ')),
            HINT = 'Vectors can be added only within the space of one model.';
    END IF;
    SELECT max(abs(u.weight)) INTO heaviest FROM unnest($2) AS u(weight);
    IF heaviest = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'all weights are 0: no direction is left to search in',
            HINT = 'Pass weights such as 0.6, 0.4 and -0.2.';
    END IF;
    -- Only proportions matter, and these a real can hold.
    RETURN imgvec.unit_embedding({vector}.sum(
        array_fill(CASE WHEN abs(u.weight) / heaviest > 1e-30 THEN u.weight / heaviest ELSE 0 END::real, dimensions)::{vector}.vector OPERATOR({vector}.*) u.embedding::{vector}.vector))
    FROM unnest($1, $2) AS u(embedding, weight);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.combine({vector}.halfvec[], double precision[]) FROM PUBLIC;
