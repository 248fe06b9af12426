-- imgvec.search_<collection>(query, k, among, distinct_pictures), and with a further tenant imgvec.search_tenant_<collection>, which looks
-- at that tenant's rows alone: the k nearest rows, among the given keys; of all rows where among is
-- left out. A NULL among raises. With distinct_pictures, of the rows with one picture only that with the smallest key.
-- Never fewer than k rows while more match. Few keys are compared one by one. Of many, the index is asked for so many
-- candidates that k of them should match; once more, for as many as the first answer suggests; and where fewer than k
-- match, all that match are compared. Where most rows that the index gives are near copies of each other and not of the query, it is
-- asked for a wider list, and where that is so too, all are compared; of the rows in among, where one list holds enough of them. An iterative scan would go on for longer than that and give the wrong rows.
-- imgvec.last_search_strategy() tells which. query must have the collection's dimensions; k is 1 to 10,000.
-- VOLATILE only in that it sets, and restores, settings of the scan.
{supersede_search}
CREATE OR REPLACE FUNCTION imgvec.{search}(
    query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT {all_rows}, distinct_pictures boolean DEFAULT false{further_parameter}
)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- To plan for the keys themselves takes longer than to look them up: 27 ms for 50,000 of them.
SET plan_cache_mode = force_generic_plan
AS $search$
#variable_conflict use_column
DECLARE
    k_hint constant text := 'Ask for 1 to 10000 rows; for all, read near_* with ORDER BY distance + 0, page by page page_*.';
    setting_names text[] := {scan_setting_names};
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
    -- Which share of the candidates listed are near copies of the nearest, and how many are listed at least.
    burst_share double precision;
    list_rows integer := {burst_rows};
    {found_declarations}
    {tenant_declarations}
BEGIN
    {check_query}
    {check_among}
    {check_distinct}
    {find_tenant}
    IF is_filtered THEN
        matching := cardinality($3);
    END IF;
    -- Below this the shortest scan would cost more than comparing all.
    IF {unless_small}(NOT is_filtered OR matching > {few_rows_per_result} * greatest($2, {few_rows_min_k})) THEN
        SELECT sum(pg_relation_size(c.oid)),
               sum(pg_relation_size(c.oid) / 8192.0 * CASE WHEN c.relpages > 0 THEN greatest(c.reltuples, 0) / c.relpages
                                                           ELSE 8000.0 / (2 * {dimensions} + 130) END),
               max(t.ef_search), max(t.probes)
        INTO embedded_bytes, embedded_rows, tuned_ef_search, tuned_probes
        -- Looked up one by one: an OR would read all of pg_class.
        FROM {sized_tables} AS p (oid)
        JOIN pg_catalog.pg_class AS c ON c.oid = p.oid
        LEFT JOIN imgvec.collection AS t ON t.id = {collection_id};
        -- One of all rows and of this distance: with another PostgreSQL would sort all rows for each scan. Most have the one that
        -- is looked for first; the look at indexes of whatever method takes a tenth of a whole search in a small table.
        has_index := EXISTS (SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_opclass AS f ON f.oid = x.indclass[0]
                             JOIN pg_catalog.pg_am AS m ON m.oid = f.opcmethod
                             WHERE x.indrelid IN {indexed_tables} AND x.indisvalid AND x.indpred IS NULL AND x.indkey[0] > 0
                               AND f.opcname = 'halfvec_cosine_ops' AND m.amname = 'hnsw');
        IF NOT has_index THEN
            SELECT count(*) > 0, {index_lists} INTO has_index, index_lists
            FROM {indexed_tables} AS t (oid) CROSS JOIN LATERAL {distance_indexes} AS i
            WHERE i.is_valid AND i.quantization IS NULL;
            index_probes := {index_probes};
            IF index_lists IS NOT NULL THEN
                setting_names := setting_names || {list_setting_names}::text[];
            END IF;
        END IF;
    END IF;
    IF has_index THEN
        -- By itself no statement but an expression, which costs next to nothing.
        hides_rows := row_security_active('imgvec.{embedding_table}'::regclass);
        IF hides_rows THEN
            hides_rows := EXISTS (SELECT FROM pg_catalog.pg_policy AS y
                                  WHERE y.polrelid = 'imgvec.{embedding_table}'::regclass AND y.polname = 'follow_source');
        END IF;
        is_narrowed := is_filtered OR hides_rows;
        matching := coalesce(matching, embedded_rows);
        {narrow_to_tenant}
        -- The rule, its formula and its costs are told in imgvec_pg/search/strategy.py and database/scan_costs.py.
        affordable := {affordable_candidates};
        scanned := greatest({least_candidates},
                            CASE WHEN is_narrowed OR $4 THEN {candidates_per_expected} ELSE 1 END * $2);
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
            IF index_lists IS NOT NULL THEN
                PERFORM {list_settings};
            END IF;
            IF $4 THEN
                SELECT {found_aggregates} INTO {found_variables}
                FROM (
                    {distinct_found}
                ) AS f;
            ELSIF NOT is_filtered THEN
                SELECT {found_aggregates}, {share_in_burst}
                INTO {found_variables}, burst_share
                FROM (
                    SELECT c.*, c.imgvec_vector OPERATOR({vector}.<=>) first_value(c.imgvec_vector) OVER () AS imgvec_apart
                    FROM (
                        SELECT {e_keys}, {ranked}.embedding OPERATOR({vector}.<=>) $1 AS distance, {ranked}.embedding AS imgvec_vector
                        FROM {ranked_rows}
                        ORDER BY {ranked}.embedding OPERATOR({vector}.<=>) $1
                        LIMIT greatest($2, list_rows)
                    ) AS c
                ) AS f;
            ELSE
                -- More than k are looked at for a burst only where one list holds them all, which makes them cheap.
                SELECT {found_aggregates}, {share_in_burst}
                INTO {found_variables}, burst_share
                FROM (
                    SELECT c.*, c.imgvec_vector OPERATOR({vector}.<=>) first_value(c.imgvec_vector) OVER () AS imgvec_apart
                    FROM (
                        SELECT v.*
                        FROM (
                            SELECT {e_keys}, {ranked}.embedding OPERATOR({vector}.<=>) $1 AS distance, {ranked}.embedding AS imgvec_vector
                            FROM {ranked_rows}
                            ORDER BY {ranked}.embedding OPERATOR({vector}.<=>) $1
                            LIMIT scanned
                        ) AS v
                        WHERE {v_key_looked_up}
                        LIMIT CASE WHEN scanned <= {max_ef_search} THEN greatest($2, list_rows) ELSE $2 END
                    ) AS c
                ) AS f;
            END IF;
            PERFORM set_config(u.name, u.value, true) FROM unnest(setting_names, caller_settings) AS u (name, value);
            strategy := CASE WHEN cardinality(found_distances) < $2 OR found_distances IS NULL THEN 'index, then exact'
                             WHEN list_rows > {burst_rows} THEN 'index, wider' ELSE 'index' END;
            -- The nearest, and most others, are of one burst of near copies beside the query: a scan may have got caught among them, nearer
            -- rows being elsewhere. Of a graph, that is: lists are read whole.
            IF index_lists IS NULL AND burst_share >= {burst_share} AND found_distances[1] > {burst_distance} AND cardinality(found_distances) >= {burst_rows} THEN
                strategy := 'index, then exact';
                EXIT WHEN list_rows > {burst_rows};
                affordable := affordable - scanned;
                list_rows := {max_ef_search};
                scanned := greatest(scanned, {max_ef_search});
                CONTINUE;
            END IF;
            EXIT WHEN strategy <> 'index, then exact' OR found_distances IS NULL OR NOT (is_narrowed OR $4);
            affordable := affordable - scanned;
            scanned := {candidates_per_expected}::double precision * $2 * scanned / cardinality(found_distances);
        END LOOP;
    END IF;

    {plan_for_tenant}
    IF strategy IN ('index', 'index, wider') THEN
        RETURN QUERY SELECT u.* FROM unnest({found_variables}) AS u LIMIT $2;
    {distinct_exact}
    ELSIF NOT is_filtered THEN
        RETURN QUERY
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM {searched_rows} AS e
        ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0, {e_keys}
        LIMIT $2;
    ELSE
        RETURN QUERY
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) $1 AS distance
        FROM {searched_rows} AS e
        WHERE {e_key_among}
        ORDER BY (e.embedding OPERATOR({vector}.<=>) $1) + 0, {e_keys}
        LIMIT $2;
    END IF;
    PERFORM set_config('imgvec.last_search_strategy', strategy, false);
END
$search$;
{wrap_superseded_search}
