-- Embedded rows drawn at random, of those that nothing else is wrong with: key, version, hash of the bytes, path, bytes, the embedding as text, its precision.
WITH queued AS MATERIALIZED (
    SELECT jsonb_array_elements(j.keys) AS key FROM imgvec.job AS j WHERE j.collection_id = {collection_id}
), drawn AS MATERIALIZED (
    SELECT {e_keys} FROM imgvec.{embedding_table} AS e
    WHERE NOT EXISTS (SELECT FROM queued AS q WHERE q.key = {e_key})
    ORDER BY random() LIMIT %(sample)s
)
SELECT {e_key} AS key, e.version, e.content_hash, {path} AS path, {content} AS content, e.embedding::text AS embedding,
    e.precision
FROM drawn AS d
JOIN imgvec.{embedding_table} AS e ON {e_equals_d}
JOIN {source} AS s ON {e_equals_s}
WHERE {s_has_image} AND (e.reference_hash = {s_reference_hash}) IS NOT FALSE
  AND {vector}.l2_norm(e.embedding) BETWEEN 0.999 AND 1.001;
