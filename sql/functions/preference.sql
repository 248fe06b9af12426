-- imgvec.preference(collection, liked, disliked, disliked_weight): what somebody likes as one query at norm 1,
--     mean(liked) - disliked_weight * mean(disliked)
-- (Rocchio 1971; see Manning, Raghavan, Schuetze, Introduction to Information Retrieval, section 9.1.1).
-- 1 to 1,000 liked keys, 0 to 1,000 disliked (NULL: none), weight 0 to 1. A key without a vector raises. STABLE.
CREATE OR REPLACE FUNCTION imgvec.preference(
    collection text, liked anyarray, disliked anyarray, disliked_weight double precision DEFAULT 0.25
) RETURNS {vector}.halfvec
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    liked_mean {vector}.vector;
    disliked_mean {vector}.vector;
BEGIN
    IF $4 IS NULL OR NOT $4 BETWEEN 0 AND 1 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the weight of what is disliked is %s; expected 0 to 1', coalesce($4::text, 'NULL')),
            HINT = 'Above 1 the answer would be led by what is disliked.';
    END IF;
    SELECT {vector}.avg(u.embedding::{vector}.vector) INTO liked_mean
    FROM unnest(imgvec.embeddings_of($1, to_jsonb($2), 1000)) AS u(embedding);
    IF coalesce(cardinality($3), 0) = 0 THEN
        RETURN imgvec.unit_embedding(liked_mean);
    END IF;
    SELECT {vector}.avg(u.embedding::{vector}.vector) INTO disliked_mean
    FROM unnest(imgvec.embeddings_of($1, to_jsonb($3), 1000)) AS u(embedding);
    RETURN imgvec.unit_embedding(
        liked_mean OPERATOR({vector}.-)
        (array_fill($4::real, ARRAY[{vector}.vector_dims(disliked_mean)])::{vector}.vector OPERATOR({vector}.*) disliked_mean)
    );
END
$function$;
REVOKE ALL ON FUNCTION imgvec.preference(text, anyarray, anyarray, double precision) FROM PUBLIC;
