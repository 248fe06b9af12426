-- imgvec.search_<collection>(query, k, among): the k nearest rows, among the given keys when among is not null.
-- Never fewer than k rows while more match: when the index gives fewer, the same question is asked again with
-- an ordering that cannot use it. query must have the collection's dimensions; k is 1 to 10,000.
-- VOLATILE only in that it sets, and restores, pgvector's scan settings.
CREATE OR REPLACE FUNCTION imgvec.{search}(query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT NULL)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
-- The plan depends on how many keys are given.
SET plan_cache_mode = force_custom_plan
AS $search$
#variable_conflict use_column
DECLARE
    caller_scan text := current_setting('hnsw.iterative_scan', true);
BEGIN
    IF $1 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the query vector is NULL',
            HINT = 'Pass a vector; a row that is not embedded yet has none.';
    END IF;
    IF $2 IS NULL OR $2 < 1 OR $2 > 10000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('k must be 1 to 10000, not %s', coalesce($2::text, 'NULL')),
            HINT = 'Ask for 1 to 10000 rows; for more, read near_* with ORDER BY distance through a cursor.';
    END IF;
    PERFORM set_config('hnsw.iterative_scan', 'strict_order', true);
    IF $3 IS NULL THEN
        RETURN QUERY
        WITH approximate AS MATERIALIZED (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            ORDER BY e.embedding OPERATOR({vector}.<=>) $1
            LIMIT $2
        ), exact AS (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            WHERE (SELECT count(*) FROM approximate) < $2
            ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0
            LIMIT $2
        )
        SELECT a.* FROM approximate AS a WHERE (SELECT count(*) FROM approximate) = $2
        UNION ALL
        SELECT x.* FROM exact AS x
        ORDER BY distance, {keys};
    ELSE
        RETURN QUERY
        WITH approximate AS MATERIALIZED (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            WHERE {e_key_among}
            ORDER BY e.embedding OPERATOR({vector}.<=>) $1
            LIMIT $2
        ), exact AS (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            WHERE {e_key_among} AND (SELECT count(*) FROM approximate) < $2
            ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0
            LIMIT $2
        )
        SELECT a.* FROM approximate AS a WHERE (SELECT count(*) FROM approximate) = $2
        UNION ALL
        SELECT x.* FROM exact AS x
        ORDER BY distance, {keys};
    END IF;
    PERFORM set_config('hnsw.iterative_scan', coalesce(caller_scan, 'off'), true);
END
$search$;
