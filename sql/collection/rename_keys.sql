-- The key columns of the source have other names now: so do those of the embedding table and of coordinates, and the keys that wait or failed.
DO $rename$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT t.name, e.key AS old_name, e.value AS new_name
        FROM unnest({tables}::text[]) AS t (name), jsonb_each_text({names}::jsonb) AS e
        WHERE to_regclass(format('imgvec.%I', t.name)) IS NOT NULL
    LOOP
        EXECUTE format('ALTER TABLE imgvec.%I RENAME COLUMN %I TO %I', entry.name, entry.old_name, entry.new_name);
    END LOOP;
    FOR entry IN
        SELECT format('ALTER TYPE imgvec.%I RENAME ATTRIBUTE %I TO %I', t.name, e.key, e.value) AS statement
        FROM unnest({key_types}::text[]) AS t (name), jsonb_each_text({names}::jsonb) AS e
        WHERE to_regtype(format('imgvec.%I', t.name)) IS NOT NULL
    LOOP
        EXECUTE entry.statement;
    END LOOP;
END
$rename$;
UPDATE imgvec.job AS j
SET keys = (SELECT jsonb_agg(
                (SELECT jsonb_object_agg(coalesce(r.value, k.key), k.value)
                 FROM jsonb_each(u.key) AS k LEFT JOIN jsonb_each_text({names}::jsonb) AS r ON r.key = k.key)
                ORDER BY u.place)
            FROM jsonb_array_elements(j.keys) WITH ORDINALITY AS u (key, place))
WHERE j.collection_id = {collection_id};
UPDATE imgvec.failure AS f
SET key = (SELECT jsonb_object_agg(coalesce(r.value, k.key), k.value)
           FROM jsonb_each(f.key) AS k LEFT JOIN jsonb_each_text({names}::jsonb) AS r ON r.key = k.key)
WHERE f.collection_id = {collection_id};
