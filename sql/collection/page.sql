-- imgvec.page_<collection>(query, k, after_distance, after_key, among): the k rows that follow a row in the order by
-- distance, then key; without after_* the first k. Exact, by comparing all rows: an approximate order may change from one
-- call to the next, and then pages repeat or skip. Rows that do not change between two calls are neither repeated nor
-- skipped, also where after_distance was rounded to four digits or more; one whose vector changes may be, having moved; a new
-- row appears where it lies after the last row given. k is 1 to 10,000. A NULL among raises; left out, it means all rows.
-- STABLE.
{create} imgvec.{page}(
    query {vector}.halfvec, k integer DEFAULT 10, after_distance double precision DEFAULT NULL,
    after_key {among_type} DEFAULT NULL, among {among_type}[] DEFAULT {all_rows}
)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
-- The plan depends on what is given.
SET plan_cache_mode = force_custom_plan
AS $page$
#variable_conflict use_column
DECLARE
    k_hint constant text := 'Ask for 1 to 10000 rows a page.';
    is_filtered boolean;
    -- That of the row it comes from, where that is still there.
    last_distance double precision := $3;
BEGIN
    {check_query}
    {check_among}
    IF ($3 IS NULL) <> ($4 IS NULL) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'after_distance and after_key are given together or not at all',
            HINT = 'Pass both as the last row of the page before has them.';
    END IF;
    -- NaN is no distance either: to PostgreSQL it is greater than all numbers.
    IF NOT $3 BETWEEN 0 AND 2 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('after_distance is %s; expected 0 to 2', $3),
            HINT = 'Pass the distance of the last row of the page before.';
    END IF;
    IF $3 IS NOT NULL THEN
        -- On its way through float4, JSON or a rounded display a distance lost digits: compared as it came, the page would
        -- begin before the row or beyond others.
        SELECT e.embedding OPERATOR({vector}.<=>) $1 INTO last_distance
        FROM imgvec.{embedding_table} AS e WHERE {e_key_equals_4};
        IF abs(last_distance - $3) <= {page_rounding} IS NOT TRUE THEN
            last_distance := $3;
        END IF;
    END IF;
    RETURN QUERY
    SELECT {e_keys}, e.distance
    FROM (
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM imgvec.{embedding_table} AS e
        WHERE NOT is_filtered OR {e_key_among_5}
        -- The distance is computed once a row, and no index gives the order.
        OFFSET 0
    ) AS e
    WHERE last_distance IS NULL OR e.distance > last_distance OR e.distance = last_distance AND {e_key_after_4}
    ORDER BY e.distance, {e_keys}
    LIMIT $2;
END
$page$;
COMMENT ON FUNCTION imgvec.{page}({vector}.halfvec, integer, double precision, {among_type}, {among_type}[]) IS
    'One page of the rows in exact order by cosine distance (0 to 2), then key; pass the last row of the page before.';
