-- imgvec.search_<collection>(query, k, among): the k nearest rows, among the given keys when among is not null.
-- Never fewer than k rows while more match. Few keys are compared one by one; else the HNSW index is asked for so many
-- candidates that k of them should match, and where fewer do, all that match are compared: an iterative scan would go
-- on for longer than that and give the wrong rows. imgvec.last_search_way() tells which. query must have the
-- collection's dimensions; k is 1 to 10,000.
-- VOLATILE only in that it sets, and restores, settings of the scan.
CREATE OR REPLACE FUNCTION imgvec.{search}(query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT NULL)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $search$
#variable_conflict use_column
DECLARE
    -- To visit a row through the index costs about eight times what comparing it costs (benchmarks/selectivity.py).
    visit_cost constant integer := 8;
    setting_names constant text[] := '{{hnsw.iterative_scan,hnsw.ef_search,enable_sort,plan_cache_mode}}';
    caller_settings text[];
    embedded_rows double precision;
    has_index boolean;
    is_filtered boolean := $3 IS NOT NULL OR row_security_active('imgvec.{embedding_table}'::regclass);
    tuned_ef_search smallint;
    -- No more than these can match.
    candidates double precision;
    visits double precision;
    scanned double precision;
    way text := 'exact';
    found_distances double precision[];
    {found_declarations}
BEGIN
    IF $1 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the query vector is NULL',
            HINT = 'Pass a vector; a row that is not embedded yet has none.';
    END IF;
    IF {vector}.vector_dims($1) <> {dimensions} THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the query vector has %s dimensions, the collection {dimensions}', {vector}.vector_dims($1)),
            HINT = 'Embed the query with the collection''s own model.';
    END IF;
    IF {vector}.l2_norm($1) = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the query vector is zero, which is equally far from all',
            HINT = 'Pass a vector that has a direction.';
    END IF;
    IF $2 IS NULL OR $2 < 1 OR $2 > 10000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('k must be 1 to 10000, not %s', coalesce($2::text, 'NULL')),
            HINT = 'Ask for 1 to 10000 rows; for more, read near_* with ORDER BY distance through a cursor.';
    END IF;
    SELECT sum(pg_relation_size(c.oid) / 8192.0 * CASE WHEN c.relpages > 0 THEN greatest(c.reltuples, 0) / c.relpages
                                                       ELSE 8000.0 / (2 * {dimensions} + 130) END),
           EXISTS (SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
                   JOIN pg_catalog.pg_am AS a ON a.oid = i.relam
                   WHERE x.indrelid = 'imgvec.{embedding_table}'::regclass AND a.amname = 'hnsw'
                     AND x.indisvalid AND x.indpred IS NULL),
           (SELECT t.ef_search FROM imgvec.collection AS t WHERE t.id = {collection_id})
    INTO embedded_rows, has_index, tuned_ef_search
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = 'imgvec.{embedding_table}'::regclass
       OR c.oid IN (SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h
                    WHERE h.inhparent = 'imgvec.{embedding_table}'::regclass);
    candidates := coalesce(cardinality($3), embedded_rows);
    caller_settings := ARRAY(SELECT current_setting(s) FROM unnest(setting_names) AS s);

    -- Twice what a filter takes on average that the query knows nothing of.
    visits := 2.0 * $2 * embedded_rows / greatest(candidates, 1);
    scanned := greatest(coalesce(tuned_ef_search, current_setting('hnsw.ef_search')::integer),
                        CASE WHEN is_filtered THEN 20 ELSE 1 END * $2);
    IF visits * visit_cost < candidates AND is_filtered THEN
        scanned := greatest(scanned, visits);
    END IF;
    -- Else a short scan is worth trying where comparing is long: the filter may go with the query.
    -- pgvector src/hnsw.h: HNSW_MAX_EF_SEARCH is 1000.
    IF has_index AND (is_filtered AND scanned <= 1000 AND candidates >= 4 * scanned
                      OR NOT is_filtered AND visits * visit_cost < candidates) THEN
        way := 'index';
        PERFORM set_config('hnsw.iterative_scan', CASE WHEN is_filtered THEN 'off' ELSE 'relaxed_order' END, true),
                set_config('hnsw.ef_search', least(1000, scanned)::integer::text, true),
                set_config('enable_sort', 'off', true),
                set_config('plan_cache_mode', 'force_generic_plan', true);
        IF $3 IS NULL THEN
            SELECT {found_aggregates} INTO {found_variables}
            FROM (
                SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
                FROM imgvec.{embedding_table} AS e
                ORDER BY e.embedding OPERATOR({vector}.<=>) $1
                LIMIT $2
            ) AS f;
        ELSE
            SELECT {found_aggregates} INTO {found_variables}
            FROM (
                SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
                FROM imgvec.{embedding_table} AS e
                -- IS TRUE: a hashed look-up for each visited row instead of a join, which would come before the scan.
                WHERE ({e_key_looked_up}) IS TRUE
                ORDER BY e.embedding OPERATOR({vector}.<=>) $1
                LIMIT $2
            ) AS f;
        END IF;
        PERFORM set_config(u.name, u.value, true) FROM unnest(setting_names, caller_settings) AS u (name, value);
        IF coalesce(cardinality(found_distances), 0) < $2 THEN
            way := 'index, then exact';
        END IF;
    END IF;

    IF way = 'index' THEN
        RETURN QUERY SELECT u.* FROM unnest({found_variables}) AS u;
    ELSIF $3 IS NULL THEN
        RETURN QUERY
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM imgvec.{embedding_table} AS e
        ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0, {e_keys}
        LIMIT $2;
    ELSE
        -- The plan depends on how many keys are given.
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
        RETURN QUERY
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM imgvec.{embedding_table} AS e
        WHERE {e_key_among}
        ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0, {e_keys}
        LIMIT $2;
        PERFORM set_config('plan_cache_mode', caller_settings[4], true);
    END IF;
    PERFORM set_config('imgvec.last_search_way', way, false);
END
$search$;
