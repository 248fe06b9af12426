-- imgvec.search_<collection>(query, k, among, distinct_pictures, partial): the k nearest rows of all shards, as search_* of one server
-- gives them. Each shard is asked for its k nearest at once, by its own search_*, as whom the user mapping says; their answers are
-- merged exactly. A shard that is away raises; with partial the others answer, and imgvec.last_search_strategy() names it.
{create} imgvec.{search}(
    query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT {all_rows}, distinct_pictures boolean DEFAULT false,
    partial boolean DEFAULT false
)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- Keys travel as text that reads the same everywhere.
SET datestyle = 'ISO'
SET intervalstyle = 'postgres'
SET timezone = 'UTC'
SET extra_float_digits = 1
AS $search$
#variable_conflict use_column
DECLARE
    k_hint constant text := 'Ask for 1 to 10000 rows.';
    is_filtered boolean;
    -- Ends each answer: so that half an answer, or that to another question, is never taken for one.
    answer_id constant text := gen_random_uuid()::text || ' ';
    began constant timestamptz := clock_timestamp();
    statement text;
    shard record;
    is_kept boolean;
    told text;
    strategies text[];
    away text[];
    message text;
    hint text;
    {found_declarations}
    found_hashes bytea[];
    {all_declarations}
    all_hashes bytea[];
BEGIN
    {check_query}
    {check_among}
    {check_distinct}
    -- The last row of an answer has its id and how it was found.
    statement := {settings} || CASE WHEN $4 THEN {distinct_head} ELSE {head} END
        || format('%L, %s%s%s', $1::text, $2, CASE WHEN is_filtered THEN format(', among => %L', $3::text) END,
                  CASE WHEN $4 THEN ', distinct_pictures => true' END)
        || CASE WHEN $4 THEN {distinct_tail} ELSE {tail} END || format('%L || imgvec.last_search_strategy()', answer_id);
    FOR shard IN SELECT a.* FROM imgvec.ask_shards({collection_name}, statement, $5) AS a LOOP
        is_kept := shard.is_kept;
        LOOP
            BEGIN
                IF shard.state IS NOT NULL THEN
                    RAISE USING ERRCODE = shard.state, MESSAGE = shard.message;
                END IF;
                PERFORM imgvec.await_shard(shard.name, began + shard.timeout_ms * interval '1 ms');
                {settings_answer}
                SELECT {found_aggregates}, max(f.imgvec_told)
                INTO {found_variables}, found_hashes, told
                FROM {dblink}.dblink_get_result(imgvec.shard_link(shard.name))
                    AS f ({key_definitions}, distance double precision, imgvec_hash bytea, imgvec_told text);
                -- An answer has ended when the next is empty.
                PERFORM FROM {dblink}.dblink_get_result(imgvec.shard_link(shard.name)) AS a (nothing text);
                IF told IS NULL OR NOT starts_with(told, answer_id) THEN
                    RAISE protocol_violation USING MESSAGE = 'its answer is not whole';
                END IF;
                EXIT;
            EXCEPTION WHEN query_canceled THEN
                PERFORM imgvec.close_lent_shards();
                RAISE;
            WHEN OTHERS THEN
                IF is_kept AND left(SQLSTATE, 2) IN ('08', '57') THEN
                    -- The connection was from before, and the shard has been away meanwhile.
                    is_kept := false;
                    SELECT a.* INTO shard FROM imgvec.ask_shards({collection_name}, statement, $5, shard.name) AS a;
                ELSE
                    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                    PERFORM imgvec.shard_failed(shard.name, $5, SQLSTATE, SQLERRM, hint);
                    away := away || shard.name;
                    told := NULL;
                    EXIT;
                END IF;
            END;
        END LOOP;
        IF told IS NOT NULL THEN
            strategies := strategies || substr(told, length(answer_id) + 1);
            {all_from_found}
            all_hashes := all_hashes || found_hashes;
        END IF;
    END LOOP;
    PERFORM imgvec.close_lent_shards();
    IF strategies IS NULL THEN
        RAISE connection_failure USING MESSAGE = format('no shard of %s answers', {collection_name}), HINT = 'See imgvec shard list.';
    END IF;
    RETURN QUERY
    SELECT {u_keys}, u.distance
    FROM (
        SELECT u.*, CASE WHEN $4 AND u.imgvec_hash IS NOT NULL
                         THEN row_number() OVER (PARTITION BY u.imgvec_hash ORDER BY {u_keys}) ELSE 1 END AS imgvec_place
        FROM unnest({all_variables}, all_hashes) AS u ({key_names}, distance, imgvec_hash)
    ) AS u
    WHERE u.imgvec_place = 1
    ORDER BY u.distance, {u_keys}
    LIMIT $2;
    PERFORM set_config('imgvec.last_search_strategy', format(
        '%s (%s of %s shards%s)', (SELECT string_agg(DISTINCT s, ', ' ORDER BY s) FROM unnest(strategies) AS s),
        coalesce(cardinality(strategies), 0), coalesce(cardinality(strategies), 0) + coalesce(cardinality(away), 0),
        '; away: ' || array_to_string(away, ', ')), false);
END
$search$;
