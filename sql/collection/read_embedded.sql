-- Embedded rows whose picture is a file, in the key's order behind %(after)s: key, version, hash of the bytes, path.
-- What is queued will be made anew anyway, and what names another picture by now is found without reading it; of vectors that were
-- adopted or computed by an application nobody knows the bytes.
WITH queued AS MATERIALIZED (
    SELECT jsonb_array_elements(j.keys) AS key FROM imgvec.job AS j WHERE j.collection_id = {collection_id}
)
SELECT {e_key} AS key, e.version, e.content_hash, {path} AS path
FROM imgvec.{embedding_table} AS e JOIN {source} AS s ON {e_equals_s}
WHERE {path} IS NOT NULL AND {content} IS NULL AND e.content_hash <> ''
  AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = {e_key})
  AND (e.reference_hash = {s_reference_hash}) IS NOT FALSE
  {after_condition}
ORDER BY {e_keys}
LIMIT %(page_size)s;
