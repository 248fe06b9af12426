-- imgvec.recommend_<collection>(liked, disliked, k, among): the k nearest rows to what somebody likes, less what they dislike
-- (see imgvec.preference), without the liked and disliked rows themselves; among the given keys, where among is left out of
-- all. Never fewer than k while more match, as search_*, which it asks, and which raises for a NULL among. k is 1 to 8,000.
-- VOLATILE as search_* is.
{create} imgvec.{recommend}(
    liked {among_type}[], disliked {among_type}[] DEFAULT NULL, k integer DEFAULT 10,
    among {among_type}[] DEFAULT {all_rows}, disliked_weight double precision DEFAULT 0.25
)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $recommend$
#variable_conflict use_column
BEGIN
    IF $3 IS NULL OR $3 < 1 OR $3 > 8000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('k must be 1 to 8000, not %s', coalesce($3::text, 'NULL')),
            HINT = 'For more rows search with imgvec.preference(...) as the query.';
    END IF;
    RETURN QUERY
    SELECT {n_keys}, n.distance
    FROM imgvec.{search}(
        imgvec.preference({collection_name}, $1, $2, $5),
        $3 + pg_catalog.cardinality($1) + coalesce(pg_catalog.cardinality($2), 0), $4
    ) AS n
    WHERE NOT EXISTS (SELECT FROM unnest($1 || $2) AS u ({keys}) WHERE {n_equals_u})
    ORDER BY n.distance, {n_keys}
    LIMIT $3;
END
$recommend$;
COMMENT ON FUNCTION imgvec.{recommend}({among_type}[], {among_type}[], integer, {among_type}[], double precision) IS
    'The k nearest other rows to liked rows, away from disliked ones, by cosine distance (0 to 2) to imgvec.preference.';
