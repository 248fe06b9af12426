-- imgvec.embedding_of(collection, key): the stored vector of one row; raises when there is none, since a NULL
-- query would return arbitrary rows. key is the primary key; for a composite key, a JSON object of its columns
-- or ROW(...)::imgvec.<collection>_key.
CREATE FUNCTION imgvec.embedding_of(collection text, key anyelement) RETURNS {vector}.halfvec
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wanted imgvec.collection;
    key_object jsonb := to_jsonb($2);
    found_embedding {vector}.halfvec;
BEGIN
    SELECT c.* INTO wanted FROM imgvec.collection AS c
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('collection "%s" does not exist', left($1, 80)),
            HINT = 'SELECT name FROM imgvec.collection lists those that do.';
    END IF;
    IF jsonb_typeof(key_object) = 'string' AND key_object #>> '{{}}' IS JSON OBJECT
        AND (key_object #>> '{{}}')::jsonb ?& wanted.key_columns THEN
        key_object := key_object #>> '{{}}';
    ELSIF jsonb_typeof(key_object) IS DISTINCT FROM 'object' AND cardinality(wanted.key_columns) = 1 THEN
        key_object := jsonb_build_object(wanted.key_columns[1], key_object);
    END IF;
    IF jsonb_typeof(key_object) IS DISTINCT FROM 'object' OR NOT key_object ?& wanted.key_columns THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s is not a key of collection "%s"', coalesce(key_object::text, 'NULL'), $1),
            HINT = format('Pass jsonb_build_object(%s).',
                          (SELECT string_agg(format('%L, …', c), ', ') FROM unnest(wanted.key_columns) AS c));
    END IF;
    EXECUTE format(
        'SELECT e.embedding FROM imgvec.%I AS e JOIN jsonb_to_record($1) AS k(%s) ON %s',
        wanted.name || '_embedding',
        (SELECT string_agg(format('%I %s', c, t), ', ') FROM unnest(wanted.key_columns, wanted.key_types) AS u(c, t)),
        (SELECT string_agg(format('e.%1$I OPERATOR(%2$I.=) k.%1$I', c, s), ' AND ')
         FROM unnest(wanted.key_columns, wanted.key_equality_schemas) AS u(c, s))
    ) INTO found_embedding USING key_object;
    IF found_embedding IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('collection "%s" has no embedding for key %s', $1, key_object),
            HINT = 'The row may be queued, failed or gone: see imgvec status and imgvec failures.';
    END IF;
    RETURN found_embedding;
END
$function$;

-- The same with the key as text, so that a quoted literal needs no cast.
CREATE FUNCTION imgvec.embedding_of(collection text, key text) RETURNS {vector}.halfvec
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT imgvec.embedding_of(collection, to_jsonb(key));
END;
REVOKE ALL ON FUNCTION imgvec.embedding_of(text, anyelement), imgvec.embedding_of(text, text) FROM PUBLIC;
