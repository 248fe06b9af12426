-- imgvec.raise_no_answer(model_id, outcome, timeout_ms): raise that no worker answered, saying what to do about it.
-- outcome: 'full' (too many wait already), 'standby' (nothing can be enqueued here), else nobody answered in time.
CREATE FUNCTION imgvec.raise_no_answer(model_id integer, outcome text, timeout_ms integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    model_name text := (SELECT m.name FROM imgvec.model AS m WHERE m.id = $1);
    has_worker boolean := false;
    starting_seconds integer;
BEGIN
    IF outcome = 'full' THEN
        RAISE configuration_limit_exceeded USING
            MESSAGE = 'too many queries wait for words or pictures to be embedded, of this role or of all',
            HINT = 'Try again in a moment, start another imgvec worker, or raise imgvec.max_text_requests for the database.';
    ELSIF outcome = 'standby' THEN
        RAISE read_only_sql_transaction USING
            MESSAGE = 'the words are not cached, and this server is a standby, where no worker can be asked',
            HINT = 'Ask once on the primary, or CALL imgvec.prepare_text(collection, words) there: cached words answer here too.';
    END IF;
    IF has_table_privilege('imgvec.worker', 'SELECT') THEN
        -- A worker tells of itself every 15 seconds.
        SELECT coalesce(bool_or(w.activity <> 'starting'), false),
               max(extract(epoch FROM clock_timestamp() - w.started_at)) FILTER (WHERE w.activity = 'starting')
        INTO has_worker, starting_seconds
        FROM imgvec.worker AS w JOIN imgvec.collection AS c ON c.id = w.collection_id
        WHERE c.model_id = $1 AND w.seen_at > clock_timestamp() - interval '1 minute';
    END IF;
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = format('no worker of the model %s answered within %s ms', model_name, $3),
        HINT = CASE WHEN has_worker
            THEN 'A worker runs but is busy or slow: SET imgvec.text_timeout = ''10 s'', or start another.'
            WHEN starting_seconds IS NOT NULL
            THEN format('A worker has been starting for %s s and loads its model: ask again in a moment, or '
                        'SET imgvec.text_timeout = ''30 s''.', starting_seconds)
            ELSE (SELECT format(CASE count(*) WHEN 1 THEN 'Start one: imgvec worker %s'
                                ELSE 'Start one; that of any collection with this model will do: imgvec worker %s' END, min(c.name))
                  FROM imgvec.collection AS c WHERE c.model_id = $1) END;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.raise_no_answer(integer, text, integer) FROM PUBLIC;
