-- imgvec.shard_link(shard): the name of the connection to a shard that this session keeps for the role that asks. Of another role, after SET
-- ROLE or in a function of its owner's rights, it is another one: as whom a shard is asked is the asking role's user mapping.
CREATE OR REPLACE FUNCTION imgvec.shard_link(shard text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.concat('imgvec_', pg_catalog.quote_ident(current_user)::pg_catalog.regrole::oid, '_', shard);
END;

-- imgvec.send_to_shard(shard, statement): send a statement over the connection to a shard that this session keeps, or over a new one.
-- is_kept: whether it was there already, and so may have died meanwhile, which shows with the answer only.
CREATE OR REPLACE FUNCTION imgvec.send_to_shard(shard text, statement text, OUT is_kept boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- That a connection is dead, or still busy for a search that was cancelled, is no news to the user: a new one is opened.
SET client_min_messages = error
AS $function$
DECLARE
    link CONSTANT text := imgvec.shard_link($1);
BEGIN
    is_kept := coalesce(link = ANY ({dblink}.dblink_get_connections()), false);
    IF is_kept THEN
        IF {dblink}.dblink_send_query(link, $2) = 1 THEN
            RETURN;
        END IF;
        is_kept := false;
        PERFORM {dblink}.dblink_disconnect(link);
    END IF;
    PERFORM {dblink}.dblink_connect(link, 'imgvec_shard_' || $1);
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
    link CONSTANT text := imgvec.shard_link($1);
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
    FROM unnest({dblink}.dblink_get_connections()) AS c (name) WHERE c.name ~ '^imgvec_[0-9]+_';
$function$;

-- imgvec.close_lent_shards(): the same where the asking role is not the session's, that is within a SECURITY DEFINER function, whose caller
-- could go on using the connections of its owner.
CREATE OR REPLACE FUNCTION imgvec.close_lent_shards() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF current_user::text IS DISTINCT FROM coalesce(nullif(current_setting('role'), 'none'), session_user::text) THEN
        PERFORM imgvec.close_shards();
    END IF;
END
$function$;

-- imgvec.shard_hint(shard, state, message, hint): what to do about an error of a shard.
CREATE OR REPLACE FUNCTION imgvec.shard_hint(shard text, state text, message text, hint text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF $2 = '42704' AND starts_with($3, 'user mapping not found') THEN
        RETURN format('CREATE USER MAPPING FOR %I SERVER %I OPTIONS (user ..., password ...) says as whom this role asks there.',
                      current_user, 'imgvec_shard_' || $1);
    END IF;
    RETURN coalesce(nullif($4, ''), 'See imgvec shard list.');
END
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
        IF coalesce(imgvec.shard_link($1) = ANY ({dblink}.dblink_get_connections()), false) THEN
            PERFORM {dblink}.dblink_disconnect(imgvec.shard_link($1));
        END IF;
        RETURN;
    END IF;
    PERFORM imgvec.close_shards();
    IF is_away THEN
        RAISE USING ERRCODE = $3, MESSAGE = format('shard "%s" is away: %s', $1, rtrim(split_part($4, chr(10), 1))),
            HINT = 'Ask again when it is back, or pass partial => true for what the other shards have.';
    END IF;
    RAISE USING ERRCODE = $3, MESSAGE = format('shard "%s": %s', $1, $4), HINT = imgvec.shard_hint($1, $3, $4, $5);
END
$function$;

-- imgvec.require_shards(collection): raise where a shard of the collection is not registered any more, whose rows nothing would miss.
CREATE OR REPLACE FUNCTION imgvec.require_shards(collection text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    missing CONSTANT text := (
        SELECT min(u.name) FROM imgvec.sharded_collection AS c CROSS JOIN unnest(c.shards) AS u (name)
        WHERE c.name = $1 AND NOT EXISTS (SELECT FROM imgvec.shard AS s WHERE s.name = u.name)
    );
BEGIN
    IF missing IS NOT NULL THEN
        RAISE undefined_object USING MESSAGE = format('shard "%s" of %s is gone', missing, $1),
            HINT = 'Add it again: imgvec shard add; or span the others: imgvec shard span.';
    END IF;
END
$function$;

-- imgvec.vector_from_shards(collection, call): what a function of the shards returns, of the first that has something: a vector.
-- call is an expression, what it names qualified and its arguments quoted. The settings that searches pass on are set before.
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
    hint text;
    settings CONSTANT text := (
        SELECT string_agg(format('pg_catalog.set_config(%L, %L, false)', u.setting, coalesce(current_setting(u.setting, true), '')), ', ')
        FROM imgvec.sharded_collection AS c CROSS JOIN unnest(c.passed_settings) AS u (setting) WHERE c.name = $1
    );
BEGIN
    PERFORM imgvec.require_shards($1);
    FOR asked IN
        SELECT s.name, s.timeout_ms FROM imgvec.sharded_collection AS c CROSS JOIN unnest(c.shards) WITH ORDINALITY AS u (name, place)
        JOIN imgvec.shard AS s ON s.name = u.name WHERE c.name = $1 ORDER BY u.place
    LOOP
        FOR attempt IN 1..2 LOOP
            BEGIN
                is_kept := imgvec.send_to_shard(
                    asked.name, coalesce('SELECT pg_catalog.concat(' || settings || ', NULL); ', '') || 'SELECT (' || $2 || ')::text');
                -- A worker may have to answer there; the session there ends a statement after twice its shard's time.
                PERFORM imgvec.await_shard(asked.name, clock_timestamp() + (2 * asked.timeout_ms + 1000) * interval '1 ms');
                IF settings IS NOT NULL THEN
                    PERFORM FROM {dblink}.dblink_get_result(imgvec.shard_link(asked.name)) AS r (nothing text);
                END IF;
                SELECT r.answer INTO answer FROM {dblink}.dblink_get_result(imgvec.shard_link(asked.name)) AS r (answer text);
                PERFORM FROM {dblink}.dblink_get_result(imgvec.shard_link(asked.name)) AS r (answer text);
                IF answer IS NOT NULL THEN
                    PERFORM imgvec.close_lent_shards();
                    RETURN answer::{vector}.halfvec;
                END IF;
                EXIT;
            EXCEPTION
                WHEN query_canceled THEN
                    PERFORM imgvec.close_lent_shards();
                    RAISE;
                WHEN OTHERS THEN
                    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                    said := SQLERRM;
                    failed := ARRAY[asked.name, SQLSTATE, SQLERRM, hint];
                    PERFORM imgvec.shard_failed(asked.name, true, '08006', said, NULL);
                    EXIT WHEN NOT coalesce(is_kept, false);
            END;
        END LOOP;
    END LOOP;
    PERFORM imgvec.close_lent_shards();
    IF failed IS NOT NULL THEN
        RAISE USING ERRCODE = failed[2], MESSAGE = format('shard "%s": %s', failed[1], failed[3]),
            HINT = imgvec.shard_hint(failed[1], failed[2], failed[3], failed[4]);
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
    PERFORM imgvec.require_shards($1);
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
        EXCEPTION
            WHEN query_canceled THEN
                PERFORM imgvec.close_lent_shards();
                RAISE;
            WHEN OTHERS THEN
                state := SQLSTATE;
                message := SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
END
$function$;
