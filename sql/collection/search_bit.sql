-- imgvec.search_<collection>(query, k, among) where the index holds one bit a dimension: it gives the rows nearest by
-- Hamming distance, more of them than asked for, and these are ranked again by their full vectors. Their number is the
-- collection's ef_search, at least k * {overfetch} and at most 20,000 (pgvector's default hnsw.max_scan_tuples).
-- Never fewer than k rows while more match: when the index gives fewer, all are compared. Up to 10,000 keys in among are
-- compared without the index: their vectors would be read anyway. query must have the collection's dimensions;
-- k is 1 to 10,000. VOLATILE only in that it sets, and restores, pgvector's scan settings.
CREATE OR REPLACE FUNCTION imgvec.{search}(query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT NULL)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
-- The plan depends on how many keys are given.
SET plan_cache_mode = force_custom_plan
AS $search$
#variable_conflict use_column
DECLARE
    caller_scan text := current_setting('hnsw.iterative_scan', true);
    caller_ef_search text := current_setting('hnsw.ef_search', true);
    candidates integer;
BEGIN
    IF $1 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the query vector is NULL',
            HINT = 'Pass a vector; a row that is not embedded yet has none.';
    END IF;
    IF $2 IS NULL OR $2 < 1 OR $2 > 10000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('k must be 1 to 10000, not %s', coalesce($2::text, 'NULL')),
            HINT = 'Ask for 1 to 10000 rows; for more, read near_* with ORDER BY distance through a cursor.';
    END IF;
    IF {vector}.vector_dims($1) <> {dimensions} THEN
        RAISE data_exception USING
            MESSAGE = format('the query vector has %s dimensions, the collection has %s', {vector}.vector_dims($1), {dimensions}),
            HINT = 'Make the vector with the collection''s own model.';
    END IF;
    IF $3 IS NOT NULL AND cardinality($3) <= 10000 THEN
        RETURN QUERY
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM imgvec.{embedding_table} AS e
        WHERE {e_key_among}
        ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0, {e_keys}
        LIMIT $2;
        RETURN;
    END IF;
    SELECT greatest(c.ef_search, least($2 * {overfetch}, 20000)) INTO candidates
    FROM imgvec.collection AS c WHERE c.id = {collection_id};
    PERFORM set_config('hnsw.iterative_scan', 'strict_order', true),
            set_config('hnsw.ef_search', least(candidates, 1000)::text, true);
    IF $3 IS NULL THEN
        RETURN QUERY
        WITH near_by_bits AS MATERIALIZED (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            ORDER BY {vector}.binary_quantize(e.embedding)::bit({dimensions})
                     OPERATOR({vector}.<~>) {vector}.binary_quantize($1)::bit({dimensions})
            LIMIT candidates
        ), exact AS (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            WHERE (SELECT count(*) FROM near_by_bits) < $2
            ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0
            LIMIT $2
        )
        (SELECT a.* FROM near_by_bits AS a WHERE (SELECT count(*) FROM near_by_bits) >= $2
         UNION ALL
         SELECT x.* FROM exact AS x)
        ORDER BY distance, {keys}
        LIMIT $2;
    ELSE
        RETURN QUERY
        WITH near_by_bits AS MATERIALIZED (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            WHERE {e_key_among}
            ORDER BY {vector}.binary_quantize(e.embedding)::bit({dimensions})
                     OPERATOR({vector}.<~>) {vector}.binary_quantize($1)::bit({dimensions})
            LIMIT candidates
        ), exact AS (
            SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
            FROM imgvec.{embedding_table} AS e
            WHERE {e_key_among} AND (SELECT count(*) FROM near_by_bits) < $2
            ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0
            LIMIT $2
        )
        (SELECT a.* FROM near_by_bits AS a WHERE (SELECT count(*) FROM near_by_bits) >= $2
         UNION ALL
         SELECT x.* FROM exact AS x)
        ORDER BY distance, {keys}
        LIMIT $2;
    END IF;
    PERFORM set_config('hnsw.iterative_scan', coalesce(caller_scan, 'off'), true),
            set_config('hnsw.ef_search', coalesce(caller_ef_search, '40'), true);
END
$search$;
