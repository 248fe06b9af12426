-- imgvec.embeddings_of(collection, keys, most, skip_missing): the stored vectors of several rows, in the keys' order.
-- keys is a JSON array of primary keys, or of objects for composite ones: to_jsonb(ARRAY[1, 2]). At most `most` keys.
-- A key without a vector (unknown, not embedded, hidden by row-level security) raises, or is left out where
-- skip_missing says so. STABLE; reads with the caller's rights.
CREATE OR REPLACE FUNCTION imgvec.embeddings_of(
    collection text, keys jsonb, most integer DEFAULT 10000, skip_missing boolean DEFAULT false
) RETURNS {vector}.halfvec[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wanted imgvec.collection;
    odd jsonb;
    found_embeddings {vector}.halfvec[];
    missing jsonb;
BEGIN
    SELECT c.* INTO wanted FROM imgvec.collection AS c
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        {refuse_collection}
    END IF;
    IF $2 IS NULL OR jsonb_typeof($2) <> 'array' OR $2 @> '[null]' THEN
        RAISE null_value_not_allowed USING
            MESSAGE = CASE WHEN $2 IS NULL THEN 'the keys are NULL' ELSE 'a key is NULL' END,
            HINT = 'Pass an array of keys, such as ARRAY[1, 2].';
    END IF;
    IF jsonb_array_length($2) NOT BETWEEN 1 AND $3 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s keys were given; expected 1 to %s', jsonb_array_length($2), $3),
            HINT = 'Pass an array of keys, such as ARRAY[1, 2]; for many, a sample of them.';
    END IF;
    SELECT k.key INTO odd FROM jsonb_array_elements($2) AS k(key)
    WHERE CASE WHEN jsonb_typeof(k.key) = 'object' THEN NOT k.key ?& wanted.key_columns
               ELSE cardinality(wanted.key_columns) > 1 END
    LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s is not a key of collection "%s"', odd, $1),
            HINT = format('Its key columns are %s: pass an array of imgvec.%I.',
                          array_to_string(wanted.key_columns, ', '), wanted.name || '_key');
    END IF;
    EXECUTE format(
        'SELECT array_agg(e.embedding ORDER BY o.position) FILTER (WHERE e.embedding IS NOT NULL),
                (array_agg(o.object ORDER BY o.position) FILTER (WHERE e.embedding IS NULL))[1]
         FROM (
             SELECT u.position, CASE WHEN jsonb_typeof(u.key) = ''object'' THEN u.key
                                     ELSE jsonb_build_object(%L, u.key) END AS object
             FROM jsonb_array_elements($1) WITH ORDINALITY AS u(key, position)
         ) AS o
         CROSS JOIN LATERAL jsonb_to_record(o.object) AS k(%s)
         LEFT JOIN imgvec.%I AS e ON %s',
        wanted.key_columns[1],
        (SELECT string_agg(format('%I %s', c, t), ', ') FROM unnest(wanted.key_columns, wanted.key_types) AS u(c, t)),
        wanted.name || '_embedding',
        (SELECT string_agg(format('e.%1$I OPERATOR(%2$I.=) k.%1$I', c, s), ' AND ')
         FROM unnest(wanted.key_columns, wanted.key_equality_schemas) AS u(c, s))
    ) INTO found_embeddings, missing USING $2;
    IF missing IS NOT NULL AND NOT $4 THEN
        RAISE no_data_found USING MESSAGE = format('collection "%s" has no embedding for key %s', $1, missing),
            HINT = 'The row may be queued, failed or gone: see imgvec status and imgvec failures.';
    END IF;
    IF found_embeddings IS NULL THEN
        RAISE no_data_found USING
            MESSAGE = format('collection "%s" has no embedding for any of the %s keys', $1, jsonb_array_length($2)),
            HINT = 'The rows may be queued, failed or gone: see imgvec status and imgvec failures.';
    END IF;
    RETURN found_embeddings;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.embeddings_of(text, jsonb, integer, boolean) FROM PUBLIC;
