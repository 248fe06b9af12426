-- imgvec.content_hash_of(collection, key): SHA-256 of the bytes that a row was embedded from; raises where the row has no embedding. The
-- key is as imgvec.embedding_of takes it, as text or as JSON. STABLE.
CREATE FUNCTION imgvec.content_hash_of(collection text, key jsonb) RETURNS bytea
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wanted imgvec.collection;
    key_object jsonb := (SELECT f.key_object FROM imgvec.find_embedding($1, $2) AS f);
    hash bytea;
BEGIN
    SELECT c.* INTO wanted FROM imgvec.collection AS c
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    EXECUTE format(
        'SELECT e.content_hash FROM imgvec.%I AS e JOIN jsonb_to_record($1) AS k(%s) ON %s',
        wanted.name || '_embedding',
        (SELECT string_agg(format('%I %s', c, t), ', ') FROM unnest(wanted.key_columns, wanted.key_types) AS u(c, t)),
        (SELECT string_agg(format('e.%1$I OPERATOR(%2$I.=) k.%1$I', c, s), ' AND ')
         FROM unnest(wanted.key_columns, wanted.key_equality_schemas) AS u(c, s))
    ) INTO hash USING key_object;
    IF hash IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('collection "%s" has no embedding for key %s', $1, key_object),
            HINT = 'The row may be queued, failed or gone: see imgvec status and imgvec failures.';
    END IF;
    RETURN hash;
END
$function$;

-- imgvec.decide_duplicate_content(content_hash, other_content_hash, decision): remember what somebody decided about two pictures by their
-- bytes, instead of what was decided before; NULL takes a decision back. VOLATILE.
CREATE FUNCTION imgvec.decide_duplicate_content(content_hash bytea, other_content_hash bytea, decision text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF $1 IS NULL OR $2 IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a content hash is NULL; expected those of two pictures';
    ELSIF octet_length($1) = 0 OR octet_length($2) = 0 THEN
        -- All such rows have the same hash: what is decided of two would hold for any.
        RAISE invalid_parameter_value USING
            MESSAGE = 'a row''s picture is not known, since an application computed its vector; decisions are about pictures',
            HINT = 'Delete such a vector, and a worker embeds the row from its picture.';
    END IF;
    IF $3 IS NOT NULL AND $3 NOT IN ('same', 'not_the_same', 'keep_both', 'ignore') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the decision is %L; expected same, not_the_same, keep_both or ignore', left($3, 80)),
            HINT = 'NULL takes a decision back.';
    END IF;
    IF $3 IS NULL THEN
        DELETE FROM imgvec.duplicate_decision AS d
        WHERE d.content_hash = LEAST($1, $2) AND d.other_content_hash = GREATEST($1, $2);
        RETURN;
    END IF;
    INSERT INTO imgvec.duplicate_decision AS d (content_hash, other_content_hash, decision)
    VALUES (LEAST($1, $2), GREATEST($1, $2), $3)
    ON CONFLICT ON CONSTRAINT duplicate_decision_pkey DO UPDATE
    SET decision = EXCLUDED.decision, decided_by = EXCLUDED.decided_by, decided_at = EXCLUDED.decided_at;
END
$function$;

-- imgvec.decide_duplicate(collection, key, other_key, decision): the same for two rows. Where a row is gone, or not embedded, it raises.
CREATE FUNCTION imgvec.decide_duplicate(collection text, key jsonb, other_key jsonb, decision text) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT imgvec.decide_duplicate_content(
        imgvec.content_hash_of($1, $2), imgvec.content_hash_of($1, $3), $4);
END;

REVOKE ALL ON FUNCTION imgvec.content_hash_of(text, jsonb), imgvec.decide_duplicate_content(bytea, bytea, text),
    imgvec.decide_duplicate(text, jsonb, jsonb, text) FROM PUBLIC;
