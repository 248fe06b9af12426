-- imgvec.search_<collection>(query, k, among, distinct_pictures) where the index holds one bit a dimension: it gives the rows nearest by
-- Hamming distance, more of them than asked for, and these are ranked again by their full vectors. Their number is the
-- collection's ef_search, at least k * {overfetch} and at most 20,000 (pgvector's default hnsw.max_scan_tuples).
-- Never fewer than k rows while more match: when the index gives fewer, all that match are compared. So they are at once
-- where that costs no more: without a valid index, in a table not much larger than the candidates, and among up to
-- 10,000 keys, whose vectors would be read anyway. A NULL among raises. query must have the collection's dimensions; k is 1 to 10,000.
-- With distinct_pictures, of the rows with one picture only that with the smallest key (as search.sql does).
-- VOLATILE only in that it sets, and restores, settings of the scan.
{supersede_search}
CREATE OR REPLACE FUNCTION imgvec.{search}(
    query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT {all_rows}, distinct_pictures boolean DEFAULT false
)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- The plan depends on how many keys are given.
SET plan_cache_mode = force_custom_plan
AS $search$
#variable_conflict use_column
DECLARE
    k_hint constant text := 'Ask for 1 to 10000 rows; for all, read near_* with ORDER BY distance + 0, page by page page_*.';
    setting_names constant text[] := '{{hnsw.iterative_scan,hnsw.ef_search,enable_sort}}';
    caller_settings text[];
    is_filtered boolean;
    candidates integer;
    embedded_rows double precision;
    has_index boolean;
    strategy text := 'exact';
    returned_rows bigint;
BEGIN
    {check_query}
    {check_among}
    {check_distinct}
    SELECT sum(pg_relation_size(c.oid) / 8192.0 * CASE WHEN c.relpages > 0 THEN greatest(c.reltuples, 0) / c.relpages
                                                       ELSE 8000.0 / (2 * {dimensions} + 130) END),
           EXISTS (SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_opclass AS f ON f.oid = x.indclass[0]
                   WHERE x.indrelid = 'imgvec.{embedding_table}'::regclass AND f.opcname = 'bit_hamming_ops'
                     AND x.indisvalid AND x.indpred IS NULL),
           (SELECT greatest(t.ef_search, least($2 * {overfetch}, 20000)) FROM imgvec.collection AS t WHERE t.id = {collection_id})
    INTO embedded_rows, has_index, candidates
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = 'imgvec.{embedding_table}'::regclass
       OR c.oid IN (SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h
                    WHERE h.inhparent = 'imgvec.{embedding_table}'::regclass);

    -- To visit a row through the index is taken to cost eight times what comparing it costs (benchmarks/results/selectivity.txt).
    IF has_index AND embedded_rows > 8 * candidates AND (NOT is_filtered OR cardinality($3) > 10000) THEN
        strategy := 'index';
        caller_settings := ARRAY(SELECT current_setting(s) FROM unnest(setting_names) AS s);
        PERFORM set_config('hnsw.iterative_scan', 'strict_order', true),
                set_config('hnsw.ef_search', least(candidates, 1000)::text, true),
                set_config('enable_sort', 'off', true);
        IF $4 THEN
            RETURN QUERY
            WITH found AS MATERIALIZED (
                {distinct_found}
            )
            SELECT f.* FROM found AS f
            WHERE (SELECT count(*) FROM found) >= $2
            ORDER BY f.distance + 0, {f_keys};
        ELSE
            RETURN QUERY
            WITH near_by_bits AS MATERIALIZED (
                SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
                FROM imgvec.{embedding_table} AS e
                WHERE NOT is_filtered OR {e_key_among}
                ORDER BY {vector}.binary_quantize(e.embedding)::bit({dimensions})
                         OPERATOR({vector}.<~>) {vector}.binary_quantize($1)::bit({dimensions})
                LIMIT candidates
            )
            SELECT a.* FROM near_by_bits AS a
            WHERE (SELECT count(*) FROM near_by_bits) >= $2
            ORDER BY distance, {keys}
            LIMIT $2;
        END IF;
        GET DIAGNOSTICS returned_rows = ROW_COUNT;
        PERFORM set_config(u.name, u.value, true) FROM unnest(setting_names, caller_settings) AS u (name, value);
        IF returned_rows = 0 THEN
            strategy := 'index, then exact';
        END IF;
    END IF;
    IF strategy = 'index' THEN
        NULL;
    {distinct_exact}
    ELSIF NOT is_filtered THEN
        RETURN QUERY
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM imgvec.{embedding_table} AS e
        ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0, {e_keys}
        LIMIT $2;
    ELSE
        RETURN QUERY
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM imgvec.{embedding_table} AS e
        WHERE {e_key_among}
        ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0, {e_keys}
        LIMIT $2;
    END IF;
    PERFORM set_config('imgvec.last_search_strategy', strategy, false);
END
$search$;
{wrap_superseded_search}
