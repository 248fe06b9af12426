-- imgvec.embedding_of(collection, key): the stored vector of one row; raises when there is none, since a NULL
-- query would return arbitrary rows. key is the primary key; for a composite key, a JSON object of its columns
-- or ROW(...)::imgvec.<collection>_key.
CREATE OR REPLACE FUNCTION imgvec.embedding_of(collection text, key anyelement) RETURNS {vector}.halfvec
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    stored record;
BEGIN
    SELECT f.embedding, f.key_object INTO stored FROM imgvec.find_embedding($1, to_jsonb($2)) AS f;
    IF stored.embedding IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('collection "%s" has no embedding for key %s', $1, stored.key_object),
            HINT = 'The row may be queued, failed or gone: see imgvec status and imgvec failures.';
    END IF;
    RETURN stored.embedding;
END
$function$;

-- The same with the key as text, so that a quoted literal needs no cast.
CREATE OR REPLACE FUNCTION imgvec.embedding_of(collection text, key text) RETURNS {vector}.halfvec
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT imgvec.embedding_of(collection, to_jsonb(key));
END;
REVOKE ALL ON FUNCTION imgvec.embedding_of(text, anyelement), imgvec.embedding_of(text, text) FROM PUBLIC;

-- imgvec.find_embedding(collection, key): the same with NULL where there is none, and the key as it was read: for a search,
-- which then has nothing to ask. Never hand its answer to near_* unseen.
CREATE OR REPLACE FUNCTION imgvec.find_embedding(collection text, key jsonb, OUT embedding {vector}.halfvec, OUT key_object jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    wanted imgvec.collection;
    spans_shards boolean := false;
BEGIN
    key_object := $2;
    {spans_shards}
    IF spans_shards THEN
        embedding := imgvec.vector_from_shards($1, format('(imgvec.find_embedding(%L, %L)).embedding', $1, $2));
        RETURN;
    END IF;
    SELECT c.* INTO wanted FROM imgvec.collection AS c
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        {refuse_collection}
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
                          (SELECT string_agg(format('%L, ...', c), ', ') FROM unnest(wanted.key_columns) AS c));
    END IF;
    BEGIN
        EXECUTE format(
            'SELECT e.embedding FROM imgvec.%I AS e JOIN jsonb_to_record($1) AS k(%s) ON %s',
            wanted.name || '_embedding',
            (SELECT string_agg(format('%I %s', c, t), ', ') FROM unnest(wanted.key_columns, wanted.key_types) AS u(c, t)),
            (SELECT string_agg(format('e.%1$I OPERATOR(%2$I.=) k.%1$I', c, s), ' AND ')
             FROM unnest(wanted.key_columns, wanted.key_equality_schemas) AS u(c, s))
        ) INTO embedding USING key_object;
    EXCEPTION WHEN data_exception THEN
        RAISE USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM,
            HINT = format('The key of collection "%s" is %s.', $1,
                          (SELECT string_agg(format('%I %s', c, t), ', ')
                           FROM unnest(wanted.key_columns, wanted.key_types) AS u(c, t)));
    END;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.find_embedding(text, jsonb) FROM PUBLIC;
