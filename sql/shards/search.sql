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
    -- Stands in each answer: so that one to another question is never taken for it.
    answer_id constant text := gen_random_uuid()::text || ' ';
    -- Whose vectors a shard has is asked once a minute of a session: looking for it takes the shard a tenth of a millisecond.
    this_minute constant text := (extract(epoch FROM clock_timestamp())::bigint / 60)::text;
    asks_model constant boolean := current_setting({minute_setting}, true) IS DISTINCT FROM this_minute;
    -- When each shard was asked: opening connections to others takes nothing of its time.
    asked_at timestamptz[];
    is_late boolean;
    -- Set on the shards before they search, as they are in this session: what policies read there, and how far indexes are read where
    -- that is not as pgvector has it.
    settings text := {passed_settings}
        || CASE WHEN current_setting('hnsw.ef_search', true) <> {usual_ef_search}
                THEN format('pg_catalog.set_config(''hnsw.ef_search'', %L, true), ', current_setting('hnsw.ef_search')) ELSE '' END
        || CASE WHEN current_setting('ivfflat.probes', true) <> {usual_probes}
                THEN format('pg_catalog.set_config(''ivfflat.probes'', %L, true), ', current_setting('ivfflat.probes')) ELSE '' END;
    statement text;
    asked record;
    told text;
    strategies text[];
    away text[];
    hint text;
    context text;
    {found_declarations}
    found_hashes bytea[];
    {all_declarations}
    all_hashes bytea[];
BEGIN
    {check_query}
    {check_among}
    {check_distinct}
    -- One row an answer, an array a column: what each row of its own takes here, of three shards, was a tenth of the whole.
    -- How it was found is read behind the aggregates, that is after the search.
    statement := CASE WHEN settings = '' THEN '' ELSE 'SELECT pg_catalog.concat(' || settings || 'NULL); ' END
        || CASE WHEN $4 THEN {distinct_head} ELSE {head} END
        || format('%L%s || imgvec.last_search_strategy() FROM imgvec.%I(%L, %s%s%s) AS s', answer_id, CASE WHEN asks_model THEN {shard_model} END, {search_name}, $1::text, $2,
                  CASE WHEN is_filtered THEN format(', among => %L', $3::text) END,
                  CASE WHEN $4 THEN ', distinct_pictures => true' END)
        || CASE WHEN $4 THEN {distinct_tail} ELSE '' END;
    SELECT a.* INTO asked FROM imgvec.ask_shards({collection_name}, statement, $5) AS a;
    asked_at := array_fill(clock_timestamp(), ARRAY[cardinality(asked.names)]);
    FOR place IN 1..cardinality(asked.names) LOOP
        LOOP
            is_late := false;
            BEGIN
                IF asked.states[place] IS NOT NULL THEN
                    RAISE USING ERRCODE = asked.states[place], MESSAGE = asked.messages[place];
                END IF;
                IF NOT asked.may_block THEN
                    is_late := true;
                    PERFORM imgvec.await_shard(asked.links[place], asked_at[place] + asked.timeouts_ms[place] * interval '1 ms');
                    is_late := false;
                END IF;
                IF settings <> '' THEN
                    PERFORM FROM {dblink}.dblink_get_result(asked.links[place]) AS s (nothing text);
                END IF;
                SELECT f.* INTO {found_variables}, found_hashes, told
                FROM {dblink}.dblink_get_result(asked.links[place]) AS f ({found_definitions}, imgvec_hashes bytea[], imgvec_told text);
                -- An answer has ended when the next is empty.
                PERFORM FROM {dblink}.dblink_get_result(asked.links[place]) AS a (nothing text);
                IF told IS NULL OR NOT starts_with(told, answer_id) THEN
                    RAISE protocol_violation USING MESSAGE = 'its answer is not whole';
                END IF;
                told := substr(told, length(answer_id) + 1);
                IF asks_model THEN
                    PERFORM imgvec.require_shard_model({collection_name}, split_part(told, chr(10), 1), split_part(told, chr(10), 2));
                    told := split_part(told, chr(10), 3);
                END IF;
                EXIT;
            EXCEPTION WHEN query_canceled OR OTHERS THEN
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
                IF SQLSTATE = '57014' AND strpos(context, asked.links[place]) = 0 THEN
                    -- This search was cancelled, and not one there.
                    PERFORM imgvec.close_lent_shards();
                    RAISE;
                ELSIF asked.are_kept[place] AND NOT is_late AND left(SQLSTATE, 2) IN ('08', '57') AND SQLSTATE <> '57014' THEN
                    -- The connection was from before, and the shard has been away meanwhile. One that is late had its time.
                    asked.are_kept[place] := false;
                    BEGIN
                        PERFORM imgvec.send_to_shard(asked.names[place], asked.links[place], statement);
                        asked_at[place] := clock_timestamp();
                    EXCEPTION WHEN query_canceled THEN
                        PERFORM imgvec.close_lent_shards();
                        RAISE;
                    WHEN OTHERS THEN
                        -- As in imgvec.ask_shards.
                        GET STACKED DIAGNOSTICS context = PG_EXCEPTION_DETAIL;
                        asked.states[place] := SQLSTATE;
                        asked.messages[place] := concat_ws(': ', SQLERRM, nullif(btrim(split_part(context, chr(10), 1)), ''));
                    END;
                ELSE
                    PERFORM imgvec.shard_failed(asked.names[place], asked.links[place], $5, SQLSTATE, SQLERRM, hint);
                    away := away || asked.names[place];
                    told := NULL;
                    EXIT;
                END IF;
            END;
        END LOOP;
        IF told IS NOT NULL THEN
            strategies := strategies || told;
            {all_from_found}
            all_hashes := all_hashes || found_hashes;
        END IF;
    END LOOP;
    PERFORM imgvec.close_lent_shards();
    IF asks_model AND away IS NULL THEN
        PERFORM set_config({minute_setting}, this_minute, false);
    END IF;
    IF strategies IS NULL THEN
        RAISE connection_failure USING MESSAGE = format('no shard of %s answers', {collection_name}), HINT = 'See imgvec shard list.';
    END IF;
    IF $4 THEN
        RETURN QUERY
        SELECT {u_keys}, u.distance
        FROM (
            SELECT u.*, CASE WHEN u.imgvec_hash IS NULL THEN 1 ELSE row_number() OVER (PARTITION BY u.imgvec_hash ORDER BY {u_keys}) END AS imgvec_place
            FROM unnest({all_variables}, all_hashes) AS u ({key_names}, distance, imgvec_hash)
        ) AS u
        WHERE u.imgvec_place = 1
        ORDER BY u.distance, {u_keys}
        LIMIT $2;
    ELSE
        RETURN QUERY
        SELECT {u_keys}, u.distance FROM unnest({all_variables}) AS u ({key_names}, distance) ORDER BY u.distance, {u_keys} LIMIT $2;
    END IF;
    told := strategies[1];
    -- No statement where all are alike.
    IF told <> ANY (strategies) THEN
        told := (SELECT string_agg(DISTINCT s, ', ' ORDER BY s) FROM unnest(strategies) AS s);
    END IF;
    PERFORM set_config('imgvec.last_search_strategy', format(
        '%s (%s of %s shards%s)', told, cardinality(strategies), cardinality(asked.names), '; away: ' || array_to_string(away, ', ')), false);
END
$search$;
