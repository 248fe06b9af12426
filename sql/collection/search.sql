-- imgvec.search_<collection>(query, k, among): the k nearest rows, among the given keys; of all rows where among is left out.
-- A NULL among raises.
-- Never fewer than k rows while more match. Few keys are compared one by one. Of many, the index is asked for so many
-- candidates that k of them should match; once more, for as many as the first answer suggests; and where fewer than k
-- match, all that match are compared. An iterative scan would go on for longer than that and give the wrong rows.
-- imgvec.last_search_strategy() tells which. query must have the collection's dimensions; k is 1 to 10,000.
-- VOLATILE only in that it sets, and restores, settings of the scan.
CREATE OR REPLACE FUNCTION imgvec.{search}(query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT {all_rows})
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- To plan for the keys themselves takes longer than to look them up: 27 ms for 50,000 of them.
SET plan_cache_mode = force_generic_plan
AS $search$
#variable_conflict use_column
DECLARE
    k_hint constant text := 'Ask for 1 to 10000 rows; for all, read near_* with ORDER BY distance + 0, page by page page_*.';
    setting_names constant text[] := {scan_setting_names};
    caller_settings text[];
    is_filtered boolean;
    -- By among, or by row-level security.
    is_narrowed boolean;
    -- No more than these can match.
    matching double precision;
    hides_rows boolean;
    embedded_rows double precision;
    embedded_bytes double precision;
    has_index boolean;
    -- Of an IVFFlat index; null of others.
    index_lists double precision;
    index_probes double precision;
    tuned_ef_search smallint;
    tuned_probes integer;
    scanned double precision;
    expected double precision;
    affordable double precision;
    strategy text := 'exact';
    found_distances double precision[];
    {found_declarations}
BEGIN
    {check_query}
    {check_among}
    IF is_filtered THEN
        matching := cardinality($3);
    END IF;
    -- Below this the shortest scan would cost more than comparing all.
    IF NOT is_filtered OR matching > {few_rows_per_result} * greatest($2, {few_rows_min_k}) THEN
        SELECT sum(pg_relation_size(c.oid)),
               sum(pg_relation_size(c.oid) / 8192.0 * CASE WHEN c.relpages > 0 THEN greatest(c.reltuples, 0) / c.relpages
                                                           ELSE 8000.0 / (2 * {dimensions} + 130) END),
               (SELECT t.ef_search FROM imgvec.collection AS t WHERE t.id = {collection_id}),
               (SELECT t.probes FROM imgvec.collection AS t WHERE t.id = {collection_id})
        INTO embedded_bytes, embedded_rows, tuned_ef_search, tuned_probes
        -- Looked up one by one: an OR would read all of pg_class.
        FROM (SELECT 'imgvec.{embedding_table}'::regclass::oid
              UNION ALL
              SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h
              WHERE h.inhparent = 'imgvec.{embedding_table}'::regclass) AS p (oid)
        JOIN pg_catalog.pg_class AS c ON c.oid = p.oid;
        -- One of all rows and of this distance: with another PostgreSQL would sort all rows for each scan.
        SELECT count(*) > 0, {index_lists} INTO has_index, index_lists
        FROM (SELECT 'imgvec.{embedding_table}'::regclass::oid) AS t (oid) CROSS JOIN LATERAL {distance_indexes} AS i
        WHERE i.is_valid AND i.quantization IS NULL;
        index_probes := {index_probes};
    END IF;
    IF has_index THEN
        hides_rows := row_security_active('imgvec.{embedding_table}'::regclass)
            AND EXISTS (SELECT FROM pg_catalog.pg_policy AS y WHERE y.polrelid = 'imgvec.{embedding_table}'::regclass AND y.polname = 'follow_source');
        is_narrowed := is_filtered OR hides_rows;
        matching := coalesce(matching, embedded_rows);
        -- The rule, its formula and its costs are told in imgvec_pg/search/strategy.py and database/scan_costs.py.
        affordable := {affordable_candidates};
        scanned := greatest({least_candidates},
                            CASE WHEN is_narrowed THEN {candidates_per_expected} ELSE 1 END * $2);
        -- What a filter takes on average that the query knows nothing of, with a margin.
        expected := {candidates_per_expected}::double precision * $2 * embedded_rows / greatest(matching, 1);
        IF is_narrowed AND expected <= {max_first_scan_share} * affordable THEN
            scanned := greatest(scanned, expected);
        END IF;
        caller_settings := ARRAY(SELECT current_setting(s) FROM unnest(setting_names) AS s);
        WHILE scanned <= least(affordable, {most_candidates}) LOOP
            -- Beyond one scan's list an iterative scan goes on, without its usual ends: after these it would give what it had
            -- discarded.
            PERFORM {scan_settings},
                    set_config('enable_sort', 'off', true),
                    -- PostgreSQL hashes keys that it has as a constant.
                    set_config('plan_cache_mode', 'force_custom_plan', true);
            IF NOT is_filtered THEN
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
                    SELECT v.*
                    FROM (
                        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
                        FROM imgvec.{embedding_table} AS e
                        ORDER BY e.embedding OPERATOR({vector}.<=>) $1
                        LIMIT scanned
                    ) AS v
                    WHERE {v_key_looked_up}
                    LIMIT $2
                ) AS f;
            END IF;
            PERFORM set_config(u.name, u.value, true) FROM unnest(setting_names, caller_settings) AS u (name, value);
            strategy := CASE WHEN cardinality(found_distances) >= $2 THEN 'index' ELSE 'index, then exact' END;
            EXIT WHEN strategy = 'index' OR found_distances IS NULL OR NOT is_narrowed;
            affordable := affordable - scanned;
            scanned := {candidates_per_expected}::double precision * $2 * scanned / cardinality(found_distances);
        END LOOP;
    END IF;

    IF strategy = 'index' THEN
        RETURN QUERY SELECT u.* FROM unnest({found_variables}) AS u;
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
