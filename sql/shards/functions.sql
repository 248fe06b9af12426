-- imgvec.send_to_shard(shard, statement): send a statement over the connection to a shard that this session keeps, or over a new one.
-- is_kept: whether it was there already, and so may have died meanwhile, which shows with the answer only.
CREATE OR REPLACE FUNCTION imgvec.send_to_shard(shard text, statement text, OUT is_kept boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- That a connection is dead, or still busy for a search that was cancelled, is no news to the user: a new one is opened.
SET client_min_messages = error
AS $function$
DECLARE
    link CONSTANT text := 'imgvec_shard_' || $1;
BEGIN
    is_kept := coalesce(link = ANY ({dblink}.dblink_get_connections()), false);
    IF is_kept THEN
        IF {dblink}.dblink_send_query(link, $2) = 1 THEN
            RETURN;
        END IF;
        is_kept := false;
        PERFORM {dblink}.dblink_disconnect(link);
    END IF;
    PERFORM {dblink}.dblink_connect(link, link);
    IF {dblink}.dblink_send_query(link, $2) <> 1 THEN
        RAISE connection_failure USING MESSAGE = {dblink}.dblink_error_message(link);
    END IF;
END
$function$;

-- imgvec.await_shard(shard, deadline): return when an answer can be read without waiting; raise at the deadline.
CREATE OR REPLACE FUNCTION imgvec.await_shard(shard text, deadline timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    link CONSTANT text := 'imgvec_shard_' || $1;
    looks integer := 0;
BEGIN
    WHILE {dblink}.dblink_is_busy(link) = 1 LOOP
        looks := looks + 1;
        -- pg_sleep waits for a whole millisecond at least, in which most answers come.
        IF looks > {looks_before_sleep} THEN
            IF clock_timestamp() > $2 THEN
                RAISE connection_failure USING MESSAGE = 'it has not answered in time';
            END IF;
            PERFORM pg_sleep(0.001);
        END IF;
    END LOOP;
END
$function$;

-- imgvec.close_shards(): end this session's connections to shards, which searches keep; the next search opens new ones.
CREATE OR REPLACE FUNCTION imgvec.close_shards() RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT {dblink}.dblink_disconnect(c.name)
    FROM unnest({dblink}.dblink_get_connections()) AS c (name) WHERE starts_with(c.name, 'imgvec_shard_');
$function$;

-- imgvec.shard_failed(shard, partial, state, message, hint): after an error while a shard was asked. Raises it with the shard's name and
-- ends all connections, since answers may be on their way; with partial, where the shard is only away, ends the one and returns.
CREATE OR REPLACE FUNCTION imgvec.shard_failed(shard text, partial boolean, state text, message text, hint text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- Connection failures, resources, operator intervention, its disk.
    is_away CONSTANT boolean := left($3, 2) IN ('08', '53', '57', '58');
BEGIN
    IF is_away AND $2 THEN
        IF coalesce('imgvec_shard_' || $1 = ANY ({dblink}.dblink_get_connections()), false) THEN
            PERFORM {dblink}.dblink_disconnect('imgvec_shard_' || $1);
        END IF;
        RETURN;
    END IF;
    PERFORM imgvec.close_shards();
    IF is_away THEN
        RAISE USING ERRCODE = $3, MESSAGE = format('shard "%s" is away: %s', $1, rtrim(split_part($4, chr(10), 1))),
            HINT = 'Ask again when it is back, or pass partial => true for what the other shards have.';
    END IF;
    RAISE USING ERRCODE = $3, MESSAGE = format('shard "%s": %s', $1, $4), HINT = CASE
        WHEN $3 = '42704' AND starts_with($4, 'user mapping not found')
        THEN format('CREATE USER MAPPING FOR %I SERVER %I OPTIONS (user ..., password ...) says as whom this role asks there.',
                    current_user, 'imgvec_shard_' || $1)
        ELSE coalesce(nullif($5, ''), 'See imgvec shard list.') END;
END
$function$;

-- imgvec.vector_from_shards(collection, call): what a function of the shards returns, of the first that has something: a vector.
-- call is an expression, what it names qualified and its arguments quoted.
CREATE OR REPLACE FUNCTION imgvec.vector_from_shards(collection text, call text) RETURNS {vector}.halfvec
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    asked record;
    answer text;
    is_kept boolean;
    failed text[];
    said text;
BEGIN
    FOR asked IN
        SELECT s.name, s.timeout_ms FROM imgvec.sharded_collection AS c CROSS JOIN unnest(c.shards) WITH ORDINALITY AS u (name, place)
        JOIN imgvec.shard AS s ON s.name = u.name WHERE c.name = $1 ORDER BY u.place
    LOOP
        FOR attempt IN 1..2 LOOP
            BEGIN
                is_kept := imgvec.send_to_shard(asked.name, 'SELECT (' || $2 || ')::text');
                -- A worker may have to answer there, which has its own limit.
                PERFORM imgvec.await_shard(asked.name, clock_timestamp() + interval '600 s');
                SELECT r.answer INTO answer FROM {dblink}.dblink_get_result('imgvec_shard_' || asked.name) AS r (answer text);
                PERFORM FROM {dblink}.dblink_get_result('imgvec_shard_' || asked.name) AS r (answer text);
                IF answer IS NOT NULL THEN
                    RETURN answer::{vector}.halfvec;
                END IF;
                EXIT;
            EXCEPTION WHEN OTHERS THEN
                said := SQLERRM;
                failed := ARRAY[asked.name, SQLSTATE, SQLERRM];
                PERFORM imgvec.shard_failed(asked.name, true, '08006', said, NULL);
                EXIT WHEN NOT coalesce(is_kept, false);
            END;
        END LOOP;
    END LOOP;
    IF failed IS NOT NULL THEN
        RAISE USING ERRCODE = failed[2], MESSAGE = format('shard "%s": %s', failed[1], failed[3]);
    END IF;
    RETURN NULL;
END
$function$;

-- imgvec.ask_shards(collection, statement, partial, only): send a statement to all shards of a collection, or to one, before any answer is
-- waited for. state, message: why it could not be sent.
CREATE OR REPLACE FUNCTION imgvec.ask_shards(collection text, statement text, partial boolean, only_shard text DEFAULT NULL)
RETURNS TABLE (name text, timeout_ms integer, is_kept boolean, state text, message text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
BEGIN
    IF $3 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'partial is NULL', HINT = 'Pass true or false, or leave it out.';
    END IF;
    FOR name, timeout_ms IN
        SELECT s.name, s.timeout_ms
        FROM imgvec.sharded_collection AS c CROSS JOIN unnest(c.shards) WITH ORDINALITY AS u (name, place)
        JOIN imgvec.shard AS s ON s.name = u.name
        WHERE c.name = $1 AND ($4 IS NULL OR s.name = $4)
        ORDER BY u.place
    LOOP
        state := NULL;
        message := NULL;
        is_kept := false;
        BEGIN
            is_kept := imgvec.send_to_shard(name, $2);
        EXCEPTION WHEN OTHERS THEN
            state := SQLSTATE;
            message := SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
END
$function$;

DO $grants$
DECLARE
    routine regprocedure;
    role_name regrole;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = 'imgvec'::regnamespace
          AND p.proname IN ('send_to_shard', 'await_shard', 'close_shards', 'shard_failed', 'vector_from_shards', 'ask_shards')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', routine);
        FOREACH role_name IN ARRAY ARRAY[to_regrole('imgvec_reader'), to_regrole('imgvec_worker')] LOOP
            CONTINUE WHEN role_name IS NULL;
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', routine, role_name);
        END LOOP;
    END LOOP;
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.shard, imgvec.sharded_collection TO imgvec_reader;
    END IF;
END
$grants$;
