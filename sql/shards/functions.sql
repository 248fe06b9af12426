-- Earlier builds had these with other arguments.
DROP FUNCTION IF EXISTS imgvec.ask_shards(text, text, boolean, text), imgvec.send_to_shard(text, text), imgvec.await_shard(text, timestamptz),
    imgvec.require_shards(text), imgvec.shard_failed(text, boolean, text, text, text);

-- imgvec.shards_of(collection, only_shard): the shards of a collection, in the order in which they are asked, or one of them; the names of the
-- connections to them that this session keeps for the role that asks, and how long they may take. Of another role, after SET ROLE or in a
-- function of its owner's rights, the connection is another one: as whom a shard is asked is the asking role's user mapping. Of another
-- address, user or password too, and where the mapping or the right to use the server is gone: what was changed holds from the next search on.
-- Raises where a shard is not registered any more, whose rows nothing would miss.
CREATE OR REPLACE FUNCTION imgvec.shards_of(
    collection text, only_shard text DEFAULT NULL, OUT names text[], OUT links text[], OUT timeouts_ms integer[]
)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    asking CONSTANT oid := quote_ident(current_user)::regrole;
    place integer;
BEGIN
    SELECT array_agg(u.name ORDER BY u.place), array_agg(s.timeout_ms ORDER BY u.place),
           array_agg(concat('imgvec_', asking, '_', to_hex(hashtextextended(u.name, 0)), '_', to_hex(hashtextextended(
               concat_ws(' ', f.oid, f.srvoptions::text, m.umid, m.umoptions::text, has_server_privilege(f.oid, 'USAGE')), 0))) ORDER BY u.place)
    INTO names, timeouts_ms, links
    FROM imgvec.sharded_collection AS c CROSS JOIN LATERAL unnest(c.shards) WITH ORDINALITY AS u (name, place)
    LEFT JOIN imgvec.shard AS s ON s.name = u.name
    LEFT JOIN pg_foreign_server AS f ON f.srvname = ('imgvec_shard_' || u.name)::name
    LEFT JOIN LATERAL (
        SELECT o.umid, o.umoptions FROM pg_user_mappings AS o WHERE o.srvid = f.oid AND o.umuser IN (0, asking) ORDER BY o.umuser DESC LIMIT 1
    ) AS m ON true
    WHERE c.name = $1 AND ($2 IS NULL OR u.name = $2);
    place := array_position(timeouts_ms, NULL);
    IF place IS NOT NULL THEN
        RAISE undefined_object USING MESSAGE = format('shard "%s" of %s is gone', names[place], $1),
            HINT = 'Add it again: imgvec shard add; or span the others: imgvec shard span.';
    END IF;
END
$function$;

-- imgvec.shard_link(shard): the name of the connection to a shard that this session keeps for the role that asks.
CREATE OR REPLACE FUNCTION imgvec.shard_link(shard text) RETURNS text
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT o.links[1]
    FROM (SELECT c.name FROM imgvec.sharded_collection AS c WHERE $1 = ANY (c.shards) LIMIT 1) AS c CROSS JOIN imgvec.shards_of(c.name, $1) AS o;
$function$;

-- imgvec.send_to_shard(shard, link, statement): send a statement over the connection to a shard that this session keeps, or over a new one.
-- is_kept: whether it was there already, and so may have died meanwhile, which shows with the answer only.
CREATE OR REPLACE FUNCTION imgvec.send_to_shard(shard text, link text, statement text, OUT is_kept boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- That a connection is dead, or still busy for a search that was cancelled, is no news to the user: a new one is opened.
SET client_min_messages = error
AS $function$
DECLARE
    -- Of this role and shard, whatever its options were.
    of_shard CONSTANT text := left($2, length($2) - strpos(reverse($2), '_') + 1);
BEGIN
    is_kept := coalesce($2 = ANY ({dblink}.dblink_get_connections()), false);
    IF is_kept THEN
        IF {dblink}.dblink_send_query($2, $3) = 1 THEN
            RETURN;
        END IF;
        is_kept := false;
    END IF;
    PERFORM {dblink}.dblink_disconnect(c.name) FROM unnest({dblink}.dblink_get_connections()) AS c (name) WHERE starts_with(c.name, of_shard);
    PERFORM {dblink}.dblink_connect($2, 'imgvec_shard_' || $1);
    IF {dblink}.dblink_send_query($2, $3) <> 1 THEN
        RAISE connection_failure USING MESSAGE = {dblink}.dblink_error_message($2);
    END IF;
END
$function$;

-- imgvec.await_shard(link, deadline): return when an answer can be read without waiting; raise at the deadline.
CREATE OR REPLACE FUNCTION imgvec.await_shard(link text, deadline timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    looks integer := 0;
BEGIN
    WHILE {dblink}.dblink_is_busy($1) = 1 LOOP
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

-- imgvec.may_block(timeouts_ms): whether an answer may be read by waiting for it, without looking for it time and again, as the asking
-- session's statement_timeout ends the wait no later than the shards' own time would. Before PostgreSQL 17 dblink does not heed it. Only the
-- session's own value counts: one that a function sets (SET statement_timeout) is shown, and ends nothing, as the statement has begun before.
-- VOLATILE only in that it notes that value, which is that of the configuration as last loaded: pg_settings prints all settings for each
-- look at one, 0.3 ms of the session's processor time.
CREATE OR REPLACE FUNCTION imgvec.may_block(timeouts_ms integer[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    timeout CONSTANT text := current_setting('statement_timeout');
    loaded CONSTANT text := pg_conf_load_time()::text || ' ';
    noted text := current_setting('imgvec.statement_timeout_of_session', true);
BEGIN
    IF timeout = '0' OR current_setting('server_version_num')::integer < 170000
        OR timeout::interval > (SELECT min(u) FROM unnest($1) AS u) * interval '1 ms' THEN
        RETURN false;
    END IF;
    IF noted IS NULL OR NOT starts_with(noted, loaded) THEN
        noted := loaded || (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'statement_timeout');
        PERFORM set_config('imgvec.statement_timeout_of_session', noted, false);
    END IF;
    RETURN noted = loaded || (1000 * extract(epoch FROM timeout::interval))::bigint;
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
    ELSIF $2 IN ('42883', '42P01', '3F000') THEN
        RETURN 'It has not, or not any more, what this release asks for: run imgvec migrate there, then imgvec shard span here; imgvec doctor tells more.';
    END IF;
    RETURN coalesce(nullif($4, ''), 'See imgvec shard list.');
END
$function$;

-- imgvec.shard_failed(shard, link, partial, state, message, hint): after an error while a shard was asked. Raises it with the shard's name and
-- ends all connections, since answers may be on their way; with partial, where the shard is only away, ends the one and returns.
CREATE OR REPLACE FUNCTION imgvec.shard_failed(shard text, link text, partial boolean, state text, message text, hint text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- Connection failures, resources, operator intervention, its disk.
    is_away CONSTANT boolean := left($4, 2) IN ('08', '53', '57', '58');
BEGIN
    IF is_away AND $3 THEN
        IF coalesce($2 = ANY ({dblink}.dblink_get_connections()), false) THEN
            PERFORM {dblink}.dblink_disconnect($2);
        END IF;
        RETURN;
    END IF;
    PERFORM imgvec.close_shards();
    IF is_away THEN
        RAISE USING ERRCODE = $4, MESSAGE = format('shard "%s" is away: %s', $1, rtrim(split_part($5, chr(10), 1))),
            HINT = 'Ask again when it is back, or pass partial => true for what the other shards have.';
    END IF;
    RAISE USING ERRCODE = $4, MESSAGE = format('shard "%s": %s', $1, $5), HINT = imgvec.shard_hint($1, $4, $5, $6);
END
$function$;

-- imgvec.require_shard_model(collection, model, fingerprint): raise where a shard has the collection by another model than when it was spanned,
-- or by other weights of it: distances of one are not those of another. A model that no worker had loaded has no fingerprint.
CREATE OR REPLACE FUNCTION imgvec.require_shard_model(collection text, model text, fingerprint text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    spanned record;
BEGIN
    SELECT c.model_name AS name, c.fingerprint INTO spanned FROM imgvec.sharded_collection AS c WHERE c.name = $1;
    IF nullif($2, '') <> spanned.name OR nullif($3, '') <> nullif(spanned.fingerprint, '') THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('%s is of %s there, and was of %s when it was spanned', $1,
                             CASE WHEN $2 = spanned.name THEN 'other weights' ELSE $2 END, spanned.name),
            HINT = 'Make it there by the same model as on the other shards; or have all by the new one, then imgvec shard span here.';
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
    context text;
    settings CONSTANT text := (
        SELECT string_agg(format('pg_catalog.set_config(%L, %L, false)', u.setting, coalesce(current_setting(u.setting, true), '')), ', ')
        FROM imgvec.sharded_collection AS c CROSS JOIN unnest(c.passed_settings) AS u (setting) WHERE c.name = $1
    );
BEGIN
    FOR asked IN SELECT u.* FROM imgvec.shards_of($1) AS o, unnest(o.names, o.links, o.timeouts_ms) AS u (name, link, timeout_ms) LOOP
        FOR attempt IN 1..2 LOOP
            is_kept := false;
            BEGIN
                is_kept := imgvec.send_to_shard(
                    asked.name, asked.link, coalesce('SELECT pg_catalog.concat(' || settings || ', NULL); ', '') || 'SELECT (' || $2 || ')::text');
                -- A worker may have to answer there; the session there ends a statement after twice its shard's time.
                PERFORM imgvec.await_shard(asked.link, clock_timestamp() + (2 * asked.timeout_ms + 1000) * interval '1 ms');
                IF settings IS NOT NULL THEN
                    PERFORM FROM {dblink}.dblink_get_result(asked.link) AS r (nothing text);
                END IF;
                SELECT r.answer INTO answer FROM {dblink}.dblink_get_result(asked.link) AS r (answer text);
                PERFORM FROM {dblink}.dblink_get_result(asked.link) AS r (answer text);
                IF answer IS NOT NULL THEN
                    PERFORM imgvec.close_lent_shards();
                    RETURN answer::{vector}.halfvec;
                END IF;
                EXIT;
            EXCEPTION
                WHEN query_canceled OR OTHERS THEN
                    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
                    IF SQLSTATE = '57014' AND strpos(context, asked.link) = 0 THEN
                        -- This question was cancelled, and not one there.
                        PERFORM imgvec.close_lent_shards();
                        RAISE;
                    END IF;
                    said := SQLERRM;
                    PERFORM imgvec.shard_failed(asked.name, asked.link, true, '08006', said, NULL);
                    -- A connection from before says nothing of the shard, unless it had its time there.
                    IF NOT is_kept OR SQLSTATE = '57014' THEN
                        failed := ARRAY[asked.name, SQLSTATE, SQLERRM, hint];
                        EXIT;
                    END IF;
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

-- imgvec.ask_shards(collection, statement, partial): send a statement to all shards of a collection before any answer is waited for. states,
-- messages: why it could not be sent, NULL where it was. may_block: see imgvec.may_block. What is larger than the sockets between hold is
-- written while nothing looks at the clock or at a cancel, for ever to a session that hangs: it goes to those alone that have just answered.
CREATE OR REPLACE FUNCTION imgvec.ask_shards(
    collection text, statement text, partial boolean, OUT names text[], OUT links text[], OUT timeouts_ms integer[], OUT are_kept boolean[],
    OUT states text[], OUT messages text[], OUT may_block boolean
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- As in imgvec.send_to_shard.
SET client_min_messages = error
AS $function$
DECLARE
    open_links CONSTANT text[] := {dblink}.dblink_get_connections();
    detail text;
BEGIN
    IF $3 IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'partial is NULL', HINT = 'Pass true or false, or leave it out.';
    END IF;
    SELECT o.names, o.links, o.timeouts_ms INTO names, links, timeouts_ms FROM imgvec.shards_of($1) AS o;
    may_block := imgvec.may_block(timeouts_ms);
    FOR place IN 1..cardinality(names) LOOP
        are_kept[place] := false;
        BEGIN
            -- What that function does first, without what calling it takes.
            IF links[place] = ANY (open_links) THEN
                IF octet_length($2) > {most_unasked} THEN
                    IF {dblink}.dblink_send_query(links[place], 'SELECT NULL') = 1 THEN
                        PERFORM imgvec.await_shard(links[place], clock_timestamp() + timeouts_ms[place] * interval '1 ms');
                    END IF;
                    -- Of one that has died: nothing, and the next sending fails.
                    PERFORM FROM {dblink}.dblink_get_result(links[place], false) AS a (nothing text);
                    PERFORM FROM {dblink}.dblink_get_result(links[place], false) AS a (nothing text);
                END IF;
                are_kept[place] := {dblink}.dblink_send_query(links[place], $2) = 1;
            END IF;
            IF NOT are_kept[place] THEN
                PERFORM imgvec.send_to_shard(names[place], links[place], $2);
            END IF;
        EXCEPTION
            WHEN query_canceled THEN
                PERFORM imgvec.close_lent_shards();
                RAISE;
            WHEN OTHERS THEN
                -- Why there is no connection: refused, no such host, a wrong password.
                GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
                states[place] := SQLSTATE;
                messages[place] := concat_ws(': ', SQLERRM, nullif(btrim(split_part(detail, chr(10), 1)), ''));
        END;
    END LOOP;
END
$function$;
